"""Devices: which there are, what they are fastest in, and when their memory is used up."""

from __future__ import annotations

from harness.errors import BadInputError


def check_device(device: str, *, setting: str = "backend.device") -> None:
    """Refuse a device that is unknown or not there.

    Args:
        device: Its name.
        setting: Where it was given, for the message.

    Raises:
        BadInputError: One line that says which there are.
    """
    import torch

    unknown = f"{setting}={device!r} is unknown; use auto, cpu, cuda, cuda:1 or mps"
    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise BadInputError(unknown) from error
    if parsed.type not in ("cpu", "cuda", "mps"):
        raise BadInputError(unknown)
    if parsed.type == "cuda" and not torch.cuda.is_available():
        raise BadInputError(f"{setting}={device}: this torch sees no GPU; use {setting}=cpu")
    if parsed.type == "cuda" and (parsed.index or 0) >= torch.cuda.device_count():
        raise BadInputError(
            f"{setting}={device}: there are {torch.cuda.device_count()} GPUs, counted from 0"
        )
    if parsed.type == "mps" and not torch.backends.mps.is_available():
        raise BadInputError(f"{setting}={device}: this torch sees no Apple GPU; use {setting}=cpu")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that the device has no memory left."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error)  # the CPU allocator and cuBLAS raise a plain RuntimeError
    signs = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return any(sign in message for sign in signs)


def release_memory(device: str) -> None:
    """Give back what the allocator keeps for later."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()


def fastest_dtype(device: str) -> str:
    """The dtype that a device multiplies fastest in: bfloat16 where it has instructions for it."""
    import torch

    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if device == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return "bfloat16"
    return "float32"
