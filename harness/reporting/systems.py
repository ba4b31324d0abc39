"""Systems, each a model's configuration in one retrieval mode, and where they are scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.evaluation.rows import ResultRow
from harness.files import readable_name
from harness.reporting.collect import Entry

ABSENT = "–"
FACETS = ("model", "mode", "pooling", "template", "head", "dtype")

_OF_A_TASK = ("data", "places", "of")


@dataclass(frozen=True, order=True)
class TaskPlace:
    """Where scores are comparable: one task's split, subset, metric and data revision."""

    folded: str
    task: str
    split: str
    subset: str
    metric: str
    dataset_revision: str

    @property
    def number(self) -> int:
        """A number of its own that depends on nothing else, for seeds."""
        named = json.dumps([self.task, self.split, self.subset, self.metric])
        return int.from_bytes(hashlib.sha256(named.encode()).digest()[:8])

    @classmethod
    def of(cls, row: ResultRow) -> TaskPlace:
        """Where a row belongs."""
        where = row.task, row.split, row.subset, row.metric, row.dataset_revision
        return cls(row.task.casefold(), *where)


DenseKey = tuple[TaskPlace, str, str]  # a place, a model and its embeddings


@dataclass(frozen=True, eq=False)
class System:
    """A model's configuration in one retrieval mode.

    Its settings are those of its experiments without what a task adds to them, so that it is one
    system on all tasks, whatever instruction or collection each of them has.

    Attributes:
        name: Stands for it in file names: readable, unique.
        family: Stands for the model's configuration, whichever the mode: its tests are one family.
        settings: Key settings in words.
        facets: What it is grouped and filtered by, see `FACETS`.
        entries: its result at each place.
    """

    name: str
    family: str
    settings: str
    facets: Mapping[str, str]
    entries: dict[TaskPlace, Entry] = field(default_factory=dict)

    @property
    def row(self) -> ResultRow:
        """One of its rows, for what they have in common."""
        return next(iter(self.entries.values())).row

    @property
    def revision(self) -> str:
        """The model's revision; empty when unknown."""
        return next(iter(self.entries.values())).revision or ""


def dense_entries(systems: Sequence[System]) -> dict[DenseKey, Entry]:
    """Dense at each place, by model and embeddings; the mode called `dense` before others."""
    found: dict[DenseKey, Entry] = {}
    for system in systems:
        for place, entry in system.entries.items():
            key = (place, *space_of(entry))
            if entry.row.kind == "dense" and (key not in found or entry.row.mode == "dense"):
                found[key] = entry
    return found


def space_of(entry: Entry) -> tuple[str, str]:
    """What has to be alike for a ratio to dense: the model and its embeddings."""
    return entry.row.model, entry.row.encoder


def systems_of(entries: Sequence[Entry]) -> list[System]:
    """The systems of all entries, ordered by model, mode and settings.

    A result that an earlier version wrote without what tells configurations apart may share its
    place with another; it is then a system of its own.
    """
    found: dict[str, System] = {}
    for entry in entries:
        place = TaskPlace.of(entry.row)
        family, whole = _keys(entry)
        if whole in found and place in found[whole].entries:
            whole = _digest([whole, entry.row.experiment])
        if whole not in found:
            label = readable_name(f"{entry.row.model.rpartition('/')[2]}-{entry.row.mode}")[:80]
            found[whole] = System(f"{label}-{whole}", family, entry.settings, facets(entry))
        found[whole].entries[place] = entry
    return sorted(
        found.values(), key=lambda one: (one.row.model, one.row.mode, one.settings, one.name)
    )


def facets(entry: Entry) -> dict[str, str]:
    """What an entry is grouped and filtered by."""
    record = entry.record
    document = (record.get("encoder") or {}).get("document") or {}
    head = record.get("head") or {}
    return {
        "model": entry.row.model,
        "mode": entry.row.mode,
        "pooling": str((document.get("pooling") or {}).get("kind", ABSENT)),
        "template": _template(entry) if document else ABSENT,
        "head": str(head.get("kind", ABSENT)),
        "dtype": str(document.get("dtype", ABSENT)),
    }


def _template(entry: Entry) -> str:
    """The template of queries and documents, before a task's instruction is put into it."""
    instruction = entry.config.get("instruction")
    if isinstance(instruction, Mapping) and isinstance(instruction.get("query"), str):
        sides = [str(instruction[side]) for side in ("query", "document") if side in instruction]
    else:
        spaces = [entry.record["encoder"].get(side) or {} for side in ("query", "document")]
        sides = ["{text}".join(_pieces(space)) for space in spaces]
    shown = list(dict.fromkeys(" ".join(side.split()) for side in sides))
    return "none" if shown in (["{text}"], [""]) else " | ".join(shown)


def _pieces(space: Mapping[str, Any]) -> list[str]:
    instruction = space.get("instruction") or []
    pieces = instruction.get("pieces", []) if isinstance(instruction, Mapping) else instruction
    return [str(piece) for piece in pieces]


def _keys(entry: Entry) -> tuple[str, str]:
    """What stands for the model's configuration, and for that in its mode."""
    settings = {name: value for name, value in entry.record.items() if name not in _OF_A_TASK}
    encoder = settings.pop("encoder", None)
    instruction = entry.config.get("instruction")
    if isinstance(encoder, Mapping) and isinstance(instruction, Mapping):
        # The spaces hold a task's own instruction, the configuration what it is put into.
        encoder = {
            side: {k: v for k, v in space.items() if k != "instruction"}
            for side, space in encoder.items()
            if isinstance(space, Mapping)
        } | {"instruction": instruction}
    family = _digest([entry.row.model, entry.revision, encoder])
    return family, _digest([family, entry.row.mode, settings])


def _digest(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
