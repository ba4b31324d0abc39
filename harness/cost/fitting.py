"""FLOPs of fitting a head, of choosing its regularisation and of compressing its matrix.

Products count as general ones, also where the result is symmetric and BLAS computes a half of it,
and products with a sparse matrix by its entries.
"""

from __future__ import annotations


def ridge_fit_flops(*, texts: int, width: int, nonzeros: int, vocabulary_size: int) -> float:
    """Return the FLOPs of fitting W = (XᵀX + λI)⁻¹XᵀY by Cholesky.

    2·n·d² for the Gram matrix; 2·nnz·d for XᵀY with sparse Y; d³/3 for the Cholesky factor (Golub
    and Van Loan, "Matrix Computations", 4.2); 2·d²·V for the two triangular solves of each of the V
    columns.

    Args:
        texts: Training texts n, the rows of X and Y.
        width: Columns d of X.
        nonzeros: Entries of Y (n, V) that are not zero.
        vocabulary_size: Columns V of Y.
    """
    gram = 2 * texts * width**2
    targets = 2 * nonzeros * width
    factor = width**3 / 3
    solves = 2 * width**2 * vocabulary_size
    return gram + targets + factor + solves


def eigh_flops(size: int, vectors: int | None = None) -> float:
    """Return the FLOPs of the eigenvalues and eigenvectors of a symmetric matrix (n, n).

    4/3·n³ to make it tridiagonal and 2·n²·r to take r eigenvectors back (Golub and Van Loan, 8.3
    and 5.1); 4/3·n³ for all eigenvectors of the tridiagonal matrix by divide and conquer, which
    deflation can only lessen (Demmel, "Applied Numerical Linear Algebra", 5.3.3), and next to
    nothing for a few of them one by one (MRRR, O(n·r)).

    Args:
        size: n.
        vectors: r, the eigenvectors that are wanted; all, by divide and conquer, when absent.
    """
    tridiagonal = 4 / 3 * size**3
    if vectors is not None:
        return tridiagonal + 2 * size**2 * vectors
    return tridiagonal + 4 / 3 * size**3 + 2 * size**3


def fit_choice_flops(
    *,
    criterion: str,
    strengths: int,
    width: int,
    vocabulary_size: int,
    sample: int = 0,
    sample_nonzeros: int = 0,
    query_nonzeros: int = 0,
) -> float:
    """Return the FLOPs of choosing λ by a closed form in the eigenbasis of XᵀX.

    `eigh_flops`, then the moments XᵀY times themselves, 2·V·d², and this turned from both sides,
    4·d³: all that ``gcv`` takes, whatever is tried. The others turn the sample's places and what it
    reads of the moments, 2·m·d² each after 2·nnz·d for reading. For each λ the predictions' norms
    take 2·m·d², and three products of rows with rows 6·m·d. ``self_retrieval`` adds what queries
    read, 2·q·d and 2·m·d² once, and all scores, 2·m²·d for each λ.

    Args:
        criterion: ``gcv``, ``loo`` or ``self_retrieval``.
        strengths: How many λ are tried.
        width: Columns d of X.
        vocabulary_size: Columns V of Y.
        sample: Documents m that are judged; ``gcv`` needs none.
        sample_nonzeros: Entries of their rows of Y that are not zero.
        query_nonzeros: Words q of all queries that are made of them; 0 for ``loo``.

    Raises:
        ValueError: The criterion is unknown.
    """
    covariance = 2 * vocabulary_size * width**2 + 4 * width**3
    if criterion == "gcv":
        return eigh_flops(width) + covariance
    if criterion not in ("loo", "self_retrieval"):
        raise ValueError(f"criterion {criterion!r} is unknown; use gcv, loo or self_retrieval")
    turned = 2 * sample * width**2
    once = covariance + 2 * turned + 2 * sample_nonzeros * width
    each = turned + 3 * 2 * sample * width
    if criterion == "self_retrieval":
        once += turned + 2 * query_nonzeros * width
        each += 2 * sample**2 * width
    return eigh_flops(width) + once + strengths * each


def compression_flops(*, rows: int, width: int, rank: int) -> float:
    """Return the FLOPs of a head's matrix (V, d) at rank r by its Gram matrix.

    2·V·d² for EᵀE, `eigh_flops` for r of its eigenvectors, 2·V·d·r for the product with them.

    Args:
        rows: V.
        width: d.
        rank: r.
    """
    return 2 * rows * width**2 + eigh_flops(width, rank) + 2 * rows * width * rank
