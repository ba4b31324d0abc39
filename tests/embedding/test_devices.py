"""Devices: the dtype that they are fastest in, and what says that their memory is used up."""

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.config import InstructionConfig
from harness.config import parse_component as parse
from harness.embedding.devices import fastest_dtype, is_out_of_memory
from harness.embedding.encoder import TextEncoder
from harness.embedding.instructions import Template
from tests.embedding.passes import backend, embedded, prompts_of

CPUINFO = Path("/proc/cpuinfo")


def cpu_flags():
    lines = CPUINFO.read_text().splitlines()
    return set(next(line for line in lines if line.startswith(("flags", "Features"))).split())


@pytest.mark.skipif(not CPUINFO.is_file(), reason="the processor's flags cannot be read")
def test_a_cpu_is_fastest_in_bfloat16_where_it_has_instructions_for_it():
    expected = "bfloat16" if "avx512_bf16" in cpu_flags() else "float32"
    assert fastest_dtype("cpu") == expected


def test_an_apple_gpu_is_taken_in_float32():
    assert fastest_dtype("mps") == "float32"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_is_fastest_in_a_dtype_of_two_bytes():
    major, _ = torch.cuda.get_device_capability()
    assert fastest_dtype("cuda") == ("bfloat16" if major >= 8 else "float16")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublas"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublas"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (KeyError("memory"), False),
    ],
)
def test_what_says_that_memory_is_used_up(error, expected):
    assert is_out_of_memory(error) is expected


def encoder_of(folder, dtype):
    each = backend(folder, device="cpu", dtype=dtype)
    return TextEncoder(
        model=each._model,
        pooling=parse("pooling", {"kind": "mean"}, where="pooling"),
        template=Template(InstructionConfig()),
        backend=each,
        store_dir=Path("no-store"),
    )


def test_fastest_stands_for_a_dtype_in_the_backend_and_in_what_is_stored(tiny_llama):
    fastest, named = encoder_of(tiny_llama, "fastest"), encoder_of(tiny_llama, fastest_dtype("cpu"))
    assert fastest.backend.dtype == fastest_dtype("cpu")
    assert fastest.space("document") == named.space("document")
    assert fastest.space("document")["dtype"] == fastest_dtype("cpu")
    states = {parameter.dtype for parameter in fastest.backend.network.parameters()}
    assert states == {getattr(torch, fastest_dtype("cpu"))}
    rows = prompts_of([[5, 6, 7], [8]])
    np.testing.assert_array_equal(embedded(fastest.backend, rows), embedded(named.backend, rows))


def test_dtypes_share_no_stored_embeddings(tiny_llama):
    spaces = [encoder_of(tiny_llama, dtype).space("query") for dtype in ("float32", "bfloat16")]
    assert spaces[0] != spaces[1]
    assert encoder_of(tiny_llama, "auto").space("query") == spaces[0]
