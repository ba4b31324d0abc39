"""Golden vectors of the reference package gritlm 1.0.2, on the tiny Mistral.

`python tests/golden/make_gritlm.py`, in the environment that `make_llm2vec.py` describes.

GritLM's bidirectional attention needs its own modelling file, `attn="bb"` with `is_causal=False`,
which the stock MistralModel refuses. Bidirectional cases therefore keep `attn="cc"` and put
llm2vec's MistralBiModel, loaded from the same folder, in the place of the encoder's `model`.

Writes `gritlm.safetensors`, a tensor for every case, and `gritlm.json`, what the cases are.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch

os.environ["HF_HUB_OFFLINE"] = "1"

from gritlm import GritLM
from llm2vec.models import MistralBiModel
from record import TEXTS, Prompts, write
from tiny import write_model

FOLDER = "mistral"  # relative: GritLM takes a path that contains "t5" or "gtr" for a T5
TASK = "Given a web search query, retrieve relevant passages that answer the query"
INSTRUCTIONS = {
    "query": f"<|user|>\n{TASK}\n<|embed|>\n",
    "document": "<|embed|>\n",
    "bare": "",
}
POOLINGS = ("mean", "weightedmean", "cls", "lasttoken")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way of encoding the texts.

    Attributes:
        pooling_method: the package's.
        instruction: in front of every text, in the package's form; empty for none.
        embed_instruction: the package's; whether the instruction's tokens are pooled too.
        embed_eos: the package's; put after every text.
        normalized: the package's; whether vectors have length 1.
        bidirectional: whether tokens see later tokens.
    """

    pooling_method: str
    instruction: str = ""
    embed_instruction: bool = False
    embed_eos: str = ""
    normalized: bool = False
    bidirectional: bool = True


def cases() -> Iterator[tuple[str, Case]]:
    """Every case with its name."""
    for pooling in POOLINGS:
        for side, instruction in INSTRUCTIONS.items():
            name = f"{pooling}_{side}"
            plain = {"pooling_method": pooling, "instruction": instruction}
            for whole in (False, True) if instruction else (False,):
                for eos in ("", "</s>"):
                    suffix = ("_whole" if whole else "") + ("_eos" if eos else "")
                    case = Case(embed_instruction=whole, embed_eos=eos, **plain)
                    yield name + suffix, case
            yield f"{name}_normalized", Case(normalized=True, **plain)
            yield f"{name}_causal", Case(bidirectional=False, **plain)


def load(case: Case) -> GritLM:
    """The package's encoder for the case."""
    encoder = GritLM(
        FOLDER,
        mode="embedding",
        pooling_method=case.pooling_method,
        normalized=case.normalized,
        embed_eos=case.embed_eos,
        attn="cc",
        device="cpu",
        torch_dtype=torch.float32,
    )
    if case.bidirectional:
        encoder.model = MistralBiModel.from_pretrained(FOLDER, torch_dtype=torch.float32)
    return encoder


def prompts(encoder: GritLM, case: Case) -> tuple[list[list[int]], int]:
    """Every text's prompt without padding, and how many leading tokens its pooling leaves out."""
    texts = [case.instruction + text + case.embed_eos for text in TEXTS]
    leaves_out = case.instruction and not case.embed_instruction and "mean" in case.pooling_method
    excluded = len(encoder.tokenizer(case.instruction)["input_ids"]) if leaves_out else 0
    return encoder.tokenizer(texts)["input_ids"], excluded


def main() -> None:
    """Writes both files."""
    torch.set_num_threads(1)
    batches = Prompts()
    vectors, described = {}, {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_model(Path(FOLDER), "mistral")
        for name, case in cases():
            encoder = load(case)
            vectors[name] = encoder.encode(
                TEXTS, instruction=case.instruction, embed_instruction=case.embed_instruction
            )
            ids, excluded = prompts(encoder, case)
            described[name] = {
                **asdict(case),
                "prompts": batches.name(name, ids),
                "excluded": excluded,
            }
    packages = ("gritlm", "llm2vec", "transformers", "tokenizers")
    description = {
        "packages": {package: version(package) for package in packages},
        "architecture": "mistral",
        "texts": TEXTS,
        "prompts": batches.batches,
        "cases": described,
    }
    write("gritlm", vectors, description)


if __name__ == "__main__":
    main()
