"""A step that was cut off: its weights, moments and log, as of the last checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BadInputError
from harness.files import remove_leftovers, write_atomically, write_text

if TYPE_CHECKING:
    import torch

FOLDER = ".checkpoint"
LOG = "log.jsonl"
_STATE = "state.safetensors"


@dataclass(frozen=True)
class Progress:
    """How far a step has come.

    Attributes:
        steps: How many were made.
        log: Its lines, see `harness.training.loop.train`.
        pending: What counts for the log's next line: `losses`, `tokens` and `seconds`.
    """

    steps: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    pending: dict[str, Any] = field(default_factory=dict)


class Checkpoint:
    """Kept under a step's output folder until its product is written.

    Args:
        folder: The step's output folder.
        identity: All that decides what the step makes; a checkpoint of another is refused.
        dtype: What is multiplied in.
        processes: How many train; with another dtype or number the same bits would not come out.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], *, dtype: str, processes: int
    ) -> None:
        self._folder = folder / FOLDER
        self._identity = json.dumps(identity, sort_keys=True)
        self._made = {"dtype": dtype, "processes": str(processes)}

    def read(self) -> tuple[Progress, dict[str, torch.Tensor]] | None:
        """How far the step has come, and the state there; None if there is none.

        Raises:
            BadInputError: If it is of other settings, made otherwise, or damaged.
        """
        from safetensors import safe_open

        path = self._folder / _STATE
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as tensors:
                about = tensors.metadata() or {}
                state = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118  it is no mapping
            pending = json.loads(about.get("pending", "{}"))
            progress = Progress(int(about["steps"]), json.loads(about["log"]), pending)
        except Exception as error:
            raise BadInputError(
                f"{path} is damaged; remove {self._folder} to start this step anew"
            ) from error
        if about.get("identity") != self._identity:
            raise BadInputError(
                f"{self._folder} is of other settings or data; remove it to start anew, or choose "
                "another output"
            )
        made = {name: about.get(name, value) for name, value in self._made.items()}
        if made != self._made:
            raise BadInputError(
                f"{self._folder} was made by {made['processes']} processes in {made['dtype']}; go "
                f"on with as many and train.dtype={made['dtype']}, or remove it to start anew"
            )
        return progress, state

    def write(self, progress: Progress, state: dict[str, torch.Tensor]) -> None:
        """Replace the checkpoint."""
        from safetensors.torch import save_file

        about = {"steps": str(progress.steps), "identity": self._identity, **self._made}
        about |= {name: json.dumps(getattr(progress, name)) for name in ("log", "pending")}
        tensors = {name: tensor.contiguous().cpu() for name, tensor in state.items()}
        remove_leftovers(self._folder)
        write_atomically(
            self._folder / _STATE, lambda path: save_file(tensors, path, metadata=about)
        )

    def remove(self) -> None:
        """Forget it: the product is written."""
        shutil.rmtree(self._folder, ignore_errors=True)


def write_log(folder: Path, log: list[dict[str, Any]]) -> None:
    """Write a step's log, one JSON object a line."""
    write_text(folder / LOG, "".join(json.dumps(line) + "\n" for line in log))
