"""What a run would do: which results are stored, and what the others would have encoded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.config import build
from harness.embedding.shared_store import local_store
from harness.evaluation.aggregates import parts_of
from harness.evaluation.downloads import from_cache_only
from harness.evaluation.encoder import build_encoder, with_published_settings
from harness.evaluation.evaluators import applicable, ranks
from harness.evaluation.experiment import LEXICAL_MODEL, encoder_settings, settings_hash
from harness.evaluation.forecast import CHARACTERS_PER_TOKEN, Forecast, forecast
from harness.evaluation.heads import build_head
from harness.evaluation.ledger import Ledger
from harness.evaluation.task_texts import TaskTexts
from harness.evaluation.tasks.instruction import task_instruction
from harness.evaluation.tasks.resolve import resolve_tasks
from harness.evaluation.tasks.sizes import TaskSize, estimate, task_size

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from harness.config import RunConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts

_FORECASTS: dict[str, Forecast] = {}  # of this process: the jobs of a sweep mostly share a model


@dataclass(frozen=True)
class PlannedTask:
    """One task of a run that has not begun.

    Attributes:
        task: Its name.
        stored: Modes whose results are there; they would be kept.
        missing: Modes that would be evaluated, and the folders of their experiments: two jobs with
            the same one share the result.
        space: Stands for everything that decides the task's embeddings; of two jobs with the same
            one, the second encodes nothing.
        texts: Distinct texts that the model would run on; None where their number is unknown.
        flops: FLOPs of that; None where they are unknown.
        seconds: Time of that on this machine; None where it is unknown.
        note: What the estimate rests on; empty where there is nothing to encode.
    """

    task: str
    stored: list[str]
    missing: dict[str, str]
    space: str
    texts: int | None = 0
    flops: float | None = 0.0
    seconds: float | None = 0.0
    note: str = ""

    def flat(self) -> dict[str, Any]:
        """All fields in one JSON-able mapping."""
        return asdict(self)


def plan(config: RunConfig) -> list[PlannedTask]:
    """Look at what is stored of a run; nothing is downloaded, evaluated or written.

    Texts whose embeddings are stored do not count where a task's data are at hand, as a folder's
    are. Queries count even where no mode encodes them. Aggregates are told as their parts.

    Args:
        config: The run.

    Raises:
        BadInputError: Bad input or configuration, or a model that is not at hand.
    """
    with from_cache_only():
        model = build(config.model)
    config = with_published_settings(config, model)
    encoder = build_encoder(config, model)
    head = build_head(config, encoder)
    kept = _copied(local_store(config.store_dir).absolute() / "tasks")
    tasks = parts_of(resolve_tasks(config.tasks, cache_dir=Path(kept.name)))
    planned = []
    for task in tasks:
        if not applicable(task, config.retrieval):
            continue
        own = encoder.for_task(task_instruction(task, config.task_instructions))
        ledger = Ledger(task, config, own, head)
        stored = [name for name in ledger.experiments if ledger.is_finished(ledger.stored(name))]
        missing = {
            name: f"{one.model}/{one.revision}/{one.folder}"
            for name, one in ledger.experiments.items()
            if name not in stored
        }
        entry = PlannedTask(
            task=task.metadata.name,
            stored=stored,
            missing=missing,
            space=settings_hash(encoder_settings(own)),
        )
        if any(ledger.experiments[name].model != LEXICAL_MODEL for name in missing):
            entry = _with_estimate(entry, task, own, config)
        planned.append(entry)
    return planned


@cache
def _copied(folder: Path) -> TemporaryDirectory[str]:
    """A copy of the store's tasks where the embedded one can be built; gone with the process."""
    copy = TemporaryDirectory(prefix="harness-plan-")
    if folder.is_dir():
        shutil.copytree(folder, copy.name, dirs_exist_ok=True)
    return copy


def _with_estimate(
    entry: PlannedTask, task: AbsTask, encoder: TextEncoder, config: RunConfig
) -> PlannedTask:
    size = task_size(task)
    if size is None:
        note = f"{entry.task}: mteb does not say how large it is"
        return replace(entry, texts=None, flops=None, seconds=None, note=note)
    if task.data_loaded and ranks(task):
        size = replace(size, lengths=_not_stored(task, encoder))
    texts = sum(count for count, _ in size.lengths)
    if not texts:
        return entry
    expected = _forecast(config, size, entry.space)
    cost = estimate(
        size,
        forward=expected.forward,
        max_length=expected.max_length,
        characters_per_token=CHARACTERS_PER_TOKEN,
        flops_per_second=expected.flops_per_second,
    )
    return replace(
        entry,
        texts=texts,
        flops=cost.encode_flops,
        seconds=cost.seconds,
        note=expected.note,
    )


def _forecast(config: RunConfig, size: TaskSize, space: str) -> Forecast:
    key = json.dumps([space, asdict(config.backend)], sort_keys=True, default=str)
    if key not in _FORECASTS:
        _FORECASTS[key] = forecast(config, [size])
    return _FORECASTS[key]


def _not_stored(task: Any, encoder: TextEncoder) -> tuple[tuple[int, float], ...]:
    """(number, mean characters) of the distinct texts of each place without a stored embedding."""
    made = TaskTexts(encoder)
    lengths = []
    for subset in task.hf_subsets:
        for split in task.eval_splits:
            rows = task.dataset[subset][split]
            place = (split, subset)
            parts = [made.corpus(place, rows["corpus"]), made.queries(place, rows["queries"])]
            lengths += [_lengths(_missing(part)) for part in parts]
    return tuple(lengths)


def _missing(texts: Texts) -> list[str]:
    store = texts.encoder.store(texts.side)
    distinct = dict(zip(texts.keys, texts.texts, strict=True))
    places = store.find(list(distinct))
    return [text for text, place in zip(distinct.values(), places, strict=True) if place < 0]


def _lengths(texts: Sequence[str]) -> tuple[int, float]:
    return len(texts), sum(map(len, texts)) / max(len(texts), 1)
