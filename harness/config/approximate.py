"""Approximate search: engines that may miss documents, behind the protocol of exact modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.components import at_least, component, require
from harness.config.retrieval import AlignedSparseConfig, DenseConfig


@component("retrieval", "faiss_hnsw", "harness.retrieval.faiss_hnsw:FaissHnswRetriever")
@dataclass(kw_only=True)
class FaissHnswConfig(DenseConfig):
    """Search over embeddings in FAISS' graph of near neighbours (HNSW).

    Attributes:
        m: M, neighbours of a document in each layer of the graph, twice as many in the lowest.
        ef_construction: Candidates kept while a document's neighbours are sought.
        ef_search: Candidates kept while a query's are; at least as many as the ranks wanted.
        seed: Of the documents' layers.
    """

    gives_vectors: ClassVar[bool] = False
    library: ClassVar[str | None] = "faiss-cpu"

    kind: str = "faiss_hnsw"
    m: int = 32
    ef_construction: int = 100
    ef_search: int = 128
    seed: int = 0

    def label(self) -> str:
        """See `RetrievalConfig`."""
        return f"{super().label()}-m{self.m}-ef{self.ef_search}"

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        at_least("m", self.m, 2)
        at_least("ef_construction", self.ef_construction, 1)
        at_least("ef_search", self.ef_search, 1)
        at_least("seed", self.seed, 0)


@component("retrieval", "faiss_ivf", "harness.retrieval.faiss_ivf:FaissIvfRetriever")
@dataclass(kw_only=True)
class FaissIvfConfig(DenseConfig):
    """Search over embeddings in the lists of the nearest k-means centroids (FAISS' IVF).

    Attributes:
        nlist: Lists, at most one a document; the square root of their number when null.
        nprobe: Lists that a query reads; all of them where there are fewer.
        seed: Of the first centroids.
    """

    gives_vectors: ClassVar[bool] = False
    library: ClassVar[str | None] = "faiss-cpu"

    kind: str = "faiss_ivf"
    nlist: int | None = None
    nprobe: int = 32
    seed: int = 0

    def label(self) -> str:
        """See `RetrievalConfig`."""
        lists = "" if self.nlist is None else f"-nlist{self.nlist}"
        return f"{super().label()}{lists}-nprobe{self.nprobe}"

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        at_least("nlist", self.nlist, 1)
        at_least("nprobe", self.nprobe, 1)
        at_least("seed", self.seed, 0)


@component("retrieval", "seismic", "harness.retrieval.seismic:SeismicRetriever")
@dataclass(kw_only=True)
class SeismicConfig(AlignedSparseConfig):
    """Search over aligned tokens in Seismic's blocks of similar documents (Bruch et al., 2024).

    Attributes:
        n_postings: Postings kept of a token, on average.
        centroid_fraction: Blocks of a token's postings, as a share of them.
        min_cluster_size: Documents of a block, at least.
        summary_energy: Share of a block's weights that its summary keeps.
        max_fraction: The longest list of postings over `n_postings`.
        query_cut: Tokens of a query whose postings are read.
        heap_factor: Blocks whose summary scores less than this share of the last rank's score are
            skipped; larger is faster and finds less.
    """

    gives_vectors: ClassVar[bool] = False
    library: ClassVar[str | None] = "pyseismic-lsr"

    kind: str = "seismic"
    n_postings: int = 3500
    centroid_fraction: float = 0.1
    min_cluster_size: int = 2
    summary_energy: float = 0.4
    max_fraction: float = 1.5
    query_cut: int = 10
    heap_factor: float = 0.8

    def label(self) -> str:
        """See `RetrievalConfig`."""
        return f"{super().label()}-cut{self.query_cut}-heap{self.heap_factor:g}"

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        at_least("n_postings", self.n_postings, 1)
        at_least("min_cluster_size", self.min_cluster_size, 1)
        at_least("max_fraction", self.max_fraction, 1)
        at_least("query_cut", self.query_cut, 1)
        for name in ("centroid_fraction", "summary_energy", "heap_factor"):
            share = getattr(self, name)
            require(0 < share <= 1, f"{name}={share} must be above 0 and at most 1")
        require(
            self.doc_weight != "raw",
            "doc_weight=raw may be negative, which Seismic cannot bound; choose relu or log1p",
        )
