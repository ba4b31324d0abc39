"""Other libraries' exact and approximate search over the postings that the inverted index has.

Each is a function from a query's row of a CSR matrix to its best documents, with their scores;
what a library wants in a form of its own is made beforehand.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Found = tuple[NDArray[np.int64], NDArray[np.float32]]
Search = Callable[[int], Found]


def scipy_product(rows: sparse.csr_array, queries: sparse.csr_array, k: int) -> Search:
    """SciPy's product of a query and the postings, then a partition."""
    postings = rows.T.tocsr()
    singles = [queries[[row]] for row in range(queries.shape[0])]

    def search(query: int) -> Found:
        scores = singles[query] @ postings
        return _best(scores.indices, scores.data, k)

    return search


def bm25s_retrieve(rows: sparse.csr_array, queries: sparse.csr_array, k: int) -> Search:
    """`BM25.retrieve` with the compiled backend, given postings in the place of BM25's."""
    import bm25s

    engine = bm25s.BM25(backend="numba")
    engine.scores = _columns(rows)
    engine.nonoccurrence_array = None
    engine.vocab_dict = {str(token): token for token in range(rows.shape[1])}
    engine.unique_token_ids_set = set(range(rows.shape[1]))
    tokens = [[part.tolist()] for part in np.split(queries.indices, queries.indptr[1:-1])]

    def search(query: int) -> Found:
        found = engine.retrieve(tokens[query], k=k, show_progress=False, n_threads=1)
        return found.documents[0], found.scores[0]

    return search


def bm25s_kernel(rows: sparse.csr_array, queries: sparse.csr_array, k: int) -> Search:
    """The compiled function under `bm25s_retrieve` alone."""
    from bm25s.numba.retrieve_utils import _retrieve_internal_jitted_serial

    held = _columns(rows)
    tokens = np.split(queries.indices, queries.indptr[1:-1])
    bounds = [np.array([0, len(part)], np.int32) for part in tokens]

    def search(query: int) -> Found:
        scores, documents = _retrieve_internal_jitted_serial(
            query_pointers=bounds[query],
            query_tokens_ids_flat=tokens[query],
            k=k,
            sorted=True,
            dtype=np.dtype("float32"),
            int_dtype=np.dtype("int32"),
            nonoccurrence_array=None,
            weight_mask=None,
            **held,
        )
        return documents[0], scores[0]

    return search


def seismic(rows: sparse.csr_array, queries: sparse.csr_array, k: int) -> Search:
    """Seismic's approximate index."""
    from seismic import SeismicDataset, SeismicIndex, get_seismic_string

    data = SeismicDataset()
    names = [str(row) for row in range(rows.shape[0])]
    offsets = rows.indptr.astype(np.int64)
    data.add_documents_by_id(names, rows.indices.astype(np.int64), rows.data, offsets)
    engine = SeismicIndex.build_from_dataset(data, n_postings=3500)
    text = get_seismic_string()
    tokens = [part.astype(text) for part in np.split(queries.indices, queries.indptr[1:-1])]
    weights = np.split(queries.data, queries.indptr[1:-1])

    def search(query: int) -> Found:
        found = engine.search(
            "q",
            query_components=tokens[query],
            query_values=weights[query],
            k=k,
            query_cut=len(tokens[query]),
            heap_factor=0.9,
        )
        documents = np.array([int(document) for _, _, document in found])
        return documents, np.array([score for _, score, _ in found], np.float32)

    return search


def dense_numpy(embeddings: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> Search:
    """NumPy's product and a partition."""
    everything = np.arange(len(embeddings))

    def search(query: int) -> Found:
        return _best(everything, embeddings @ queries[query], k)

    return search


def dense_torch(embeddings: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> Search:
    """PyTorch's product and its top-k."""
    import torch

    documents, rows = torch.from_numpy(embeddings), torch.from_numpy(queries)

    def search(query: int) -> Found:
        best = torch.topk(documents @ rows[query], k)
        return best.indices.numpy(), best.values.numpy()

    return search


def _columns(rows: sparse.csr_array) -> dict[str, object]:
    """Postings as bm25s holds them."""
    columns = rows.tocsc()
    held = {"data": columns.data, "indices": columns.indices, "indptr": columns.indptr}
    return held | {"num_docs": rows.shape[0]}


def _best(documents: NDArray[np.int32], scores: NDArray[np.float32], k: int) -> Found:
    if len(scores) > k:
        kept = np.argpartition(-scores, k)[:k]
        documents, scores = documents[kept], scores[kept]
    order = np.lexsort((documents, -scores))
    return documents[order], scores[order]
