"""`harness analyze` without its pictures: tables of one model on tasks or on a file of texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from harness.alignment.compressed import CompressedHead, compression_loss
from harness.analysis.adjusted import AdjustedHead
from harness.analysis.alignment import rates_table, tokens_table
from harness.analysis.backbone import backbone_encoder, backbone_of
from harness.analysis.collections import JudgedCollection, judged_collections, texts_of_file
from harness.analysis.references import references
from harness.analysis.spectrum import (
    SpectrumOf,
    adjusted_table,
    contributions_table,
    hits,
    refuse_without_matrix,
    spectrum_of,
)
from harness.config import AlignedSparseConfig, RidgeHeadConfig, innermost_head
from harness.embedding.model import EmbeddingModel
from harness.embedding.shared_store import local_store
from harness.evaluation.encoder import build_encoder, with_published_settings
from harness.evaluation.heads import build_head
from harness.evaluation.tasks.resolve import resolve_tasks
from harness.progress import say

if TYPE_CHECKING:
    from harness.alignment.head import Head
    from harness.config import AnalyzeConfig
    from harness.embedding.texts import Texts


@dataclass(frozen=True)
class SpectrumTables:
    """The spectrum of one collection's texts; see `harness.analysis.spectrum`.

    Attributes:
        name: The collection.
        backbone: Whose embeddings are decomposed.
        spectrum: One row a direction.
        contributions: One row an aligned token of an example.
        adjusted: One row an aligned token of an example and state.
        sweep: One row a λ: weight, task, hit, ndcg, v_1.
    """

    name: str
    backbone: str
    spectrum: pd.DataFrame
    contributions: pd.DataFrame
    adjusted: pd.DataFrame
    sweep: pd.DataFrame


@dataclass
class Analysis:
    """What an analysis found; parts that were not asked for are empty.

    Attributes:
        model: The model's name.
        head: The head's kind.
        fitted: Whether the head was fitted on the texts.
        rates: Hit@K, LAR and GAR by task and side.
        tokens: The aligned tokens of every text.
        spectra: By collection.
        compression: What a compressed head loses, by task and side; see `CompressionLoss`.
    """

    model: str
    head: str
    fitted: bool = False
    rates: pd.DataFrame = field(default_factory=pd.DataFrame)
    tokens: pd.DataFrame = field(default_factory=pd.DataFrame)
    spectra: list[SpectrumTables] = field(default_factory=list)
    compression: pd.DataFrame = field(default_factory=pd.DataFrame)


class Analyser:
    """Analyses one configuration."""

    def __init__(self, config: AnalyzeConfig) -> None:
        """Build everything that can be refused before any text is read.

        Raises:
            BadInputError: Bad configuration.
        """
        self.model = EmbeddingModel(config.model)
        self.config = with_published_settings(config, self.model)
        self._encoder = build_encoder(self.config, self.model)
        self._head = build_head(self.config, self._encoder)
        self._head.identity()
        self._backbone: AnalyzeConfig | None = None
        if "spectrum" in config.parts:
            refuse_without_matrix(self.config.head)
            self._backbone = backbone_of(self.config, self.model)
        if self._backbone is not None:
            self._backbone_encoder = backbone_encoder(self._backbone)

    def run(self) -> Analysis:
        """Rates, tokens and spectra of every collection, as far as `parts` asks for them.

        Raises:
            BadInputError: Bad input or configuration.
        """
        config = self.config
        fitted = isinstance(innermost_head(config.head), RidgeHeadConfig)
        found = Analysis(self.model.name, config.head.kind, fitted)
        rates, tokens, losses = [], [], []
        if set(config.parts) <= {"study", "stages"}:
            return found
        for name, learned, sides, collection in self._sources():
            say(f"{name}: aligned tokens of {', '.join(f'{len(s):,} texts' for s in sides)}")
            self._head.fit(learned)
            for texts in sides:
                drawn = sampled(texts, config.max_texts, config.seed)
                if "rates" in config.parts:
                    table = rates_table(self._head, name, drawn, k=config.hit_k, seed=config.seed)
                    rates.append(table)
                    if isinstance(self._head, CompressedHead) and len(drawn):
                        loss = compression_loss(self._head, self._head.read(drawn), config.top_k)
                        where = {"task": name, "side": drawn.side, "k": config.top_k}
                        losses.append({**where, **asdict(loss)})
                if "tokens" in config.parts:
                    tokens.append(tokens_table(self._head, name, drawn, top_k=config.top_k))
            if "spectrum" in config.parts:
                found.spectra.append(self._spectrum(name, learned, collection))
        found.rates = pd.concat(rates, ignore_index=True) if rates else found.rates
        found.compression = pd.DataFrame(losses)
        found.tokens = pd.concat(tokens, ignore_index=True) if tokens else found.tokens
        return found

    def collections(self) -> Iterator[JudgedCollection]:
        """The judged collections of the configuration's tasks."""
        config = self.config
        tasks = resolve_tasks(config.tasks, cache_dir=local_store(config.store_dir) / "tasks")
        return judged_collections(tasks, self._encoder, task_instructions=config.task_instructions)

    @property
    def head(self) -> Head:
        """The configuration's head."""
        return self._head

    def _sources(self) -> Iterator[tuple[str, Texts, list[Texts], JudgedCollection | None]]:
        """Name, the texts that a head learns from, the sides, and judgements if there are any."""
        if self.config.texts is not None:
            path = Path(self.config.texts).expanduser()
            texts = texts_of_file(path, self._encoder)
            yield path.name, texts, [texts], None
            return
        for collection in self.collections():
            sides = [collection.corpus, collection.queries]
            yield collection.name, collection.corpus, sides, collection

    def _spectrum(
        self, name: str, learned: Texts, collection: JudgedCollection | None
    ) -> SpectrumTables:
        config, own = self.config, self._backbone
        texts = sampled(learned, config.max_texts, config.seed)
        head, embedder = self._head, None
        if own is not None:
            encoder = self._backbone_encoder.with_template_of(learned.encoder)
            say(f"{name}: the backbone {encoder.model.name}")
            head = build_head(own, encoder)
            learned = encoder.texts(learned.ids, learned.texts, learned.side)
            head.fit(learned)
            embedder = self._head.read(texts)
            texts = encoder.texts(texts.ids, texts.texts, texts.side)
        found = spectrum_of(
            head,
            head.read(texts),
            embedder,
            components=config.spectrum.components,
            seed=config.seed,
        )
        judged = None if collection is None else collection.under(learned.encoder)
        weights = found.weights(config.spectrum.weights)
        unit = found.first_variation if own is not None else -found.mean_projection
        swept = [
            {
                "weight": weight,
                "task": name,
                "hit": hits(head, found, texts, weight=weight, k=config.hit_k),
                "ndcg": self._adjusted_ndcg(head, found, judged, weight),
                "v_1": found.first_variation,
            }
            for weight in weights
        ]
        shown = {"examples": config.spectrum.examples, "top_k": config.top_k}
        return SpectrumTables(
            name=name,
            backbone=texts.encoder.model.name,
            spectrum=found.table,
            contributions=contributions_table(head, found, texts, **shown),
            adjusted=adjusted_table(head, found, texts, weight=unit, **shown),
            sweep=pd.DataFrame(swept),
        )

    def _adjusted_ndcg(
        self, head: Head, found: SpectrumOf, collection: JudgedCollection | None, weight: float
    ) -> float:
        """nDCG@10 of aligned sparse retrieval with h + λu_1; NaN where there is none to score."""
        modes = [m for m in self.config.retrieval.values() if isinstance(m, AlignedSparseConfig)]
        if collection is None or not modes:
            return float("nan")
        adjusted = AdjustedHead(head, found.directions[0], weight)
        scored = references({"adjusted": modes[0]}, collection, adjusted)
        return float(scored["adjusted"].scores.mean())


def sampled(texts: Texts, most: int, seed: int) -> Texts:
    """At most so many of the texts, in their order; the same ones for the same seed."""
    if len(texts) <= most:
        return texts
    rows = np.sort(np.random.default_rng(seed).choice(len(texts), most, replace=False))
    ids = [texts.ids[row] for row in rows]
    return texts.encoder.texts(ids, [texts.texts[row] for row in rows], texts.side)
