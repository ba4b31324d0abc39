"""The stages of an embedder's training, each with every pooling and attention, on collections."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.alignment import rates_table, tokens_table
from harness.analysis.analyser import sampled
from harness.analysis.collections import JudgedCollection, judged_collections
from harness.analysis.references import references
from harness.analysis.spectrum import SpectrumOf, refuse_without_matrix, spectrum_of
from harness.analysis.stages import (
    DENSE,
    modes_table,
    stage_modes,
    summary_table,
    variation_row,
    with_holm,
)
from harness.config import ModelConfig
from harness.embedding.model import EmbeddingModel
from harness.embedding.shared_store import local_store
from harness.errors import BadInputError
from harness.evaluation.encoder import build_encoder, with_published_settings
from harness.evaluation.heads import build_head
from harness.evaluation.tasks.resolve import resolve_tasks
from harness.progress import say
from harness.statistics.verdict import THRESHOLD

if TYPE_CHECKING:
    from harness.alignment.head import Head
    from harness.config import AnalyzeConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts


@dataclass(frozen=True)
class Stages:
    """What the ablation of training stages found.

    Attributes:
        summary: One row a task and stage, see `summary_table`.
        dense: The grid, one row a task, stage, attention and pooling: ndcg, dense nDCG@10, and own,
            whether it is the stage's own setting.
        modes: One row a task, stage and mode of the stage's own setting, see `modes_table`; p_holm
            is corrected for all tests of a task.
        rates: Hit@K, LAR and GAR of the own setting by task, stage, side and metric.
        variations: One row a task and stage: texts, v_1, v_1_share, largest_other, see
            `variation_row`; direction and energy: what the first stage's u_1 decodes to, and the
            share of its embeddings' energy.
        tokens: Aligned tokens of a few queries, by task, stage, text and rank.
        threshold: Share of dense that a verdict is about.
    """

    summary: pd.DataFrame
    dense: pd.DataFrame
    modes: pd.DataFrame
    rates: pd.DataFrame
    variations: pd.DataFrame
    tokens: pd.DataFrame
    threshold: float = THRESHOLD


@dataclass(frozen=True)
class _Setting:
    """A stage with an attention and a pooling."""

    stage: str
    attention: str
    pooling: str
    encoder: TextEncoder
    head: Head

    @property
    def columns(self) -> dict[str, str]:
        return {"stage": self.stage, "attention": self.attention, "pooling": self.pooling}


class StageAnalyser:
    """Analyses the stages of one configuration."""

    def __init__(self, config: AnalyzeConfig) -> None:
        """Look at every stage's folder and head, so that a bad one is refused before any work.

        Raises:
            BadInputError: If a stage is not there, or cannot be read as tokens.
        """
        self._config = config
        for stage in config.stages.folders:
            self._own(stage).head.identity()

    def run(self) -> Stages:
        """Score every setting of every stage on the configuration's tasks.

        Raises:
            BadInputError: Bad input or configuration.
        """
        config = self._config
        tasks = resolve_tasks(config.tasks, cache_dir=local_store(config.store_dir) / "tasks")
        first = self._own(next(iter(config.stages.folders)))
        tables: dict[str, list[pd.DataFrame]] = {}
        for collection in judged_collections(
            tasks, first.encoder, task_instructions=config.task_instructions
        ):
            for name, table in self._of(collection):
                table.insert(0, "task", collection.name)
                tables.setdefault(name, []).append(table)
        found = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
        modes = with_holm(found["modes"])
        rates, variations = found["rates"], found["variations"]
        return Stages(
            summary=summary_table(modes, rates, variations, config.stages.query_expansion),
            dense=found["dense"],
            modes=modes,
            rates=rates,
            variations=variations,
            tokens=found.get("tokens", pd.DataFrame()),
            threshold=config.stages.threshold,
        )

    def _of(self, collection: JudgedCollection) -> Iterator[tuple[str, pd.DataFrame]]:
        """The tables of one collection by name, piece by piece."""
        first: _First | None = None
        for stage in self._config.stages.folders:
            yield "dense", self._grid(stage, collection)
            setting = self._own(stage)
            own = _under(collection, setting.encoder)
            setting.head.fit(own.corpus)
            yield from self._judged(setting, own)
            drawn = sampled(own.corpus, self._config.max_texts, self._config.seed)
            if first is None:
                first = _First(setting.head, drawn)
            yield "variations", self._variation(setting, drawn, first)

    def _grid(self, stage: str, collection: JudgedCollection) -> pd.DataFrame:
        """Dense retrieval of a stage with every attention and pooling."""
        stages = self._config.stages
        dense = stage_modes(self._config.retrieval, stages.query_expansion)[DENSE]
        rows = []
        for attention, pooling in product(stages.attentions, stages.poolings):
            say(f"{collection.name}: {stage}, {attention} attention, {pooling} pooling")
            setting = self._setting(stage, attention, pooling)
            texts = _under(collection, setting.encoder)
            scores = references({DENSE: dense}, texts, setting.head)[DENSE].scores
            own = (attention, pooling) == (stages.own_attention(stage), stages.pooling)
            rows.append({**setting.columns, "ndcg": float(scores.mean()), "own": own})
        return pd.DataFrame(rows)

    def _judged(
        self, setting: _Setting, collection: JudgedCollection
    ) -> Iterator[tuple[str, pd.DataFrame]]:
        """Modes, rates and tokens of a stage's own setting."""
        config, stages = self._config, self._config.stages
        modes = stage_modes(config.retrieval, stages.query_expansion)
        scored = references(modes, collection, setting.head)
        scores = {name: one.scores for name, one in scored.items()}
        table = modes_table(scores, threshold=stages.threshold, seed=config.seed)
        yield "modes", _led(table, setting.columns)
        sides = (collection.corpus, collection.queries)
        for texts in (sampled(side, config.max_texts, config.seed) for side in sides):
            rates = rates_table(
                setting.head, collection.name, texts, k=config.hit_k, seed=config.seed
            )
            yield "rates", _led(rates.drop(columns="task"), {"stage": setting.stage})
        few = _few(collection.queries, stages.examples)
        if len(few):
            tokens = tokens_table(setting.head, collection.name, few, top_k=config.top_k)
            tokens = tokens.drop(columns=["task", "side"])
            yield "tokens", _led(tokens, {"stage": setting.stage})

    def _variation(self, setting: _Setting, texts: Texts, first: _First) -> pd.DataFrame:
        found = first.beside(
            setting.head.read(texts),
            components=self._config.spectrum.components,
            seed=self._config.seed,
            stage=setting.stage,
        )
        leading = found.table.iloc[0]
        row = {
            "stage": setting.stage,
            "texts": len(texts),
            **variation_row(found, setting.stage),
            "direction": leading["tokens"],
            "energy": float(leading["share"]),
        }
        return pd.DataFrame([row])

    def _own(self, stage: str) -> _Setting:
        stages = self._config.stages
        return self._setting(stage, stages.own_attention(stage), stages.pooling)

    def _setting(self, stage: str, attention: str, pooling: str) -> _Setting:
        """Made anew each time, so that no more than one network is held."""
        stages = self._config.stages
        folder = stages.folder(stage)
        if not (folder / "config.json").is_file():
            raise BadInputError(
                f"stages: {folder} holds no model (no config.json) for the stage {stage}; train "
                "it, or name the stages that are there: stages.folders=[...]"
            )
        model = EmbeddingModel(
            ModelConfig(path=str(folder), attention=attention, max_length=stages.max_length)
        )
        changed = copy.copy(self._config)
        changed.model = model.config
        changed.pooling, changed.head = stages.poolings[pooling], stages.head
        resolved = with_published_settings(changed, model)
        refuse_without_matrix(resolved.head)
        encoder = build_encoder(resolved, model)
        return _Setting(stage, attention, pooling, encoder, build_head(resolved, encoder))


class _First:
    """The first stage's embeddings, which the later ones' are compared with."""

    def __init__(self, head: Head, texts: Texts) -> None:
        self._head = head
        self._vectors = head.read(texts)

    def beside(
        self, vectors: NDArray[np.float32], *, components: int, seed: int, stage: str
    ) -> SpectrumOf:
        """The first stage's decomposition, and how far a stage moved along it."""
        if vectors.shape != self._vectors.shape:
            raise BadInputError(
                f"stages: the embeddings of {stage} are {vectors.shape[1]} wide, the first stage's "
                f"{self._vectors.shape[1]}; name stages of one model in stages.folders=[...]"
            )
        return spectrum_of(self._head, self._vectors, vectors, components=components, seed=seed)


def _under(collection: JudgedCollection, encoder: TextEncoder) -> JudgedCollection:
    """The collection with another encoder's texts, under the same template."""
    return collection.under(encoder.with_template_of(collection.corpus.encoder))


def _few(texts: Texts, count: int) -> Texts:
    return texts.encoder.texts(texts.ids[:count], texts.texts[:count], texts.side)


def _led(table: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """With columns in front, the same in every row."""
    return pd.concat([pd.DataFrame(columns, index=table.index), table], axis=1)
