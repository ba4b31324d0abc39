"""A folder of mteb's official result files, opened as they are asked for.

It is laid out as the official results repository, `{org__model}/{revision}/{Task}.json`, or is a
clone of it, with that layout under `results/`. The repository holds hundreds of thousands of
files, so only those that are asked for are opened. Names are looked up among those that exist and
never act as paths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import BadInputError
from harness.files import read_json

Scores = Mapping[str, Sequence[Mapping[str, Any]]]  # split to one mapping a subset


class ResultFiles:
    """Which result files there are, and what is in them.

    Attributes:
        faults: One line for each file or folder that was needed and could not be read.
    """

    def __init__(self, folder: Path) -> None:
        """List the models; no result is read yet.

        Args:
            folder: See the module.

        Raises:
            BadInputError: If there is no such folder, it cannot be read, or holds no results.
        """
        self.faults: list[str] = []
        self._read: dict[Path, tuple[Scores, tuple[int, ...]] | None] = {}
        self._files: dict[str, dict[str, dict[str, Path]]] = {}
        nested = folder / "results"
        try:
            root = nested if nested.is_dir() else folder
            self._models = {path.name: path for path in root.iterdir()}
            empty = next(root.glob("*/*/*.json"), None) is None
        except OSError as error:
            raise BadInputError(
                f"published={folder} cannot be read ({error.strerror}); name a folder of official "
                "mteb results, with MODEL/REVISION/TASK.json in it or under results/"
            ) from error
        if empty:
            raise BadInputError(
                f"published={folder} holds no MODEL/REVISION/TASK.json, itself or under results/; "
                "name the folder above those of the models"
            )

    @property
    def models(self) -> list[str]:
        """Names of the models, in alphabetical order, as their folders tell: `org/model`."""
        return sorted(name.replace("__", "/", 1) for name in self._models if "__" in name)

    def of_model(self, model: str) -> dict[str, dict[str, Path]]:
        """Task to revision to file; empty for a model that is not there."""
        if model not in self._files:
            files: dict[str, dict[str, Path]] = {}
            folder = self._models.get(model.replace("/", "__").replace(" ", "_"))
            for revision in self._children(folder) if folder else ():
                for path in self._children(revision):
                    if path.suffix == ".json" and path.stem != "model_meta":
                        files.setdefault(path.stem, {})[revision.name] = path
            self._files[model] = files
        return self._files[model]

    def scores(self, path: Path) -> Scores:
        """The scores of a file; none where it cannot be read, which `faults` tells."""
        content = self._content(path)
        return content[0] if content else {}

    def mteb_version(self, path: Path) -> tuple[int, ...]:
        """The version that a file was computed with; empty, older than any, where it is unknown."""
        content = self._content(path)
        return content[1] if content else ()

    def _content(self, path: Path) -> tuple[Scores, tuple[int, ...]] | None:
        if path not in self._read:
            self._read[path] = None
            try:
                result = read_json(path, remedy="fetch it again")
                self._read[path] = _scores(result, path), _version(result.get("mteb_version"))
            except BadInputError as error:
                self.faults.append(str(error))
        return self._read[path]

    def _children(self, folder: Path) -> list[Path]:
        try:
            return sorted(folder.iterdir())
        except NotADirectoryError:
            return []
        except OSError as error:
            remedy = "check the folder and its permissions"
            self.faults.append(f"{folder} cannot be read ({error.strerror}); {remedy}")
            return []


def _scores(result: Mapping[str, Any], path: Path) -> Scores:
    scores = result.get("scores")
    if not isinstance(scores, dict) or not all(
        isinstance(places, list) and all(isinstance(place, dict) for place in places)
        for places in scores.values()
    ):
        raise BadInputError(f"{path} has no scores by split as mteb writes them; fetch it again")
    return scores


def _version(text: Any) -> tuple[int, ...]:
    found = re.findall(r"\d{1,9}", text) if isinstance(text, str) else []
    return tuple(int(number) for number in found[:3])
