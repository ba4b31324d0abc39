"""What a backend can have done by workers elsewhere: encoding into the store, and search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadInputError
from harness.interrupts import first_interrupt_held
from harness.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.embedding.prompts import Prompts
    from harness.embedding.store import EmbeddingStore


class Filled(NamedTuple):
    """Texts that a worker has encoded, and stored if all of them are finite.

    Attributes:
        rows: Which, int64 (n,).
        computed: Tokens that were computed for each, padding included: int64 (n,).
        finite: Whether each one's embedding is free of NaN and infinity: bool (n,).
    """

    rows: NDArray[np.int64]
    computed: NDArray[np.int64]
    finite: NDArray[np.bool_]


@runtime_checkable
class SpreadsEncoding(Protocol):
    """A backend that can have texts encoded elsewhere."""

    def spreads(self, lengths: NDArray[np.int64]) -> bool:
        """Whether texts of so many tokens are worth it, int64 (n,)."""
        ...

    def fill(
        self,
        prompts: Prompts,
        keys: Sequence[bytes],
        open_store: Callable[[], EmbeddingStore],
        *,
        include_instruction: bool,
    ) -> Generator[Filled, None, None]:
        """Have prompts encoded into the store.

        Args:
            prompts: n tokenised prompts.
            keys: Their texts' hashes.
            open_store: Opens the store wherever it is called; it is sent to the workers.
            include_instruction: Whether template tokens are pooled.

        Yields:
            What is in the store now, in any order; in the end every row once.
        """
        ...


def fill_spread(
    backend: SpreadsEncoding,
    prompts: Prompts,
    keys: Sequence[bytes],
    open_store: Callable[[], EmbeddingStore],
    *,
    include_instruction: bool,
    description: str,
    check: Callable[[NDArray[np.int64], NDArray[np.bool_]], None],
) -> NDArray[np.int64]:
    """Have prompts encoded into the store, with a progress bar.

    Args:
        backend: Has the workers.
        prompts: See `SpreadsEncoding.fill`, as are those that follow.
        keys: See there.
        open_store: See there.
        include_instruction: See there.
        description: What the progress bar says.
        check: Refuses rows that are not finite.

    Returns:
        Tokens computed for each text, padding included: int64 (n,).

    Raises:
        KeyboardInterrupt: On Ctrl-C; what is in the store stays.
    """
    lengths = prompts.ids.lengths
    computed = np.zeros_like(lengths)
    with (
        first_interrupt_held() as interrupted,
        progress_bar(description, len(lengths), unit="tokens") as advance,
        closing(
            backend.fill(prompts, keys, open_store, include_instruction=include_instruction)
        ) as filled,
    ):
        for part in filled:
            check(part.rows, part.finite)
            computed[part.rows] = part.computed
            advance(len(part.rows), int(lengths[part.rows].sum()))
            if interrupted():
                break
    return computed


def computed_lengths(lengths: NDArray[np.int64], computed: int) -> NDArray[np.int64]:
    """Tokens computed for each text of a batch, padding included: int64 (n,).

    Args:
        lengths: Its texts' tokens, int64 (n,).
        computed: Tokens computed in all; fewer than with padding where texts were packed.
    """
    longest = max(int(lengths.max(initial=0)), 1)
    if computed < longest * len(lengths):
        return np.maximum(lengths, 1)
    return np.full(len(lengths), longest, np.int64)


def refuse_not_finite(
    rows: NDArray[np.int64], finite: NDArray[np.bool_], ids: Sequence[str], model: str
) -> None:
    """Refuse embeddings with NaN or infinity.

    Args:
        rows: Of some texts, int64 (n,).
        finite: Whether each one's embedding is finite, bool (n,).
        ids: Of all texts.
        model: Its name.

    Raises:
        BadInputError: It names the first text whose embedding is not.
    """
    if not finite.all():
        culprit = ids[int(rows[np.argmin(finite)])]
        raise BadInputError(
            f"the embedding of text {culprit!r} holds NaN or infinity; use "
            f"backend.dtype=float32 or check the weights of {model}"
        )


@runtime_checkable
class SpreadsSearch(Protocol):
    """A backend whose workers can search, each a shard of the documents."""

    @property
    def shard_documents(self) -> int:
        """Documents of a shard; fewer are not worth the way."""
        ...

    def put(self, value: Any) -> Any:
        """Keep a value where workers fetch it from; what stands for it in `spread`."""
        ...

    def spread(self, function: Callable[..., Any], calls: Sequence[Sequence[Any]]) -> list[Any]:
        """What a module's function gives, in the order of the calls.

        Args:
            function: It is called anew elsewhere where its machine dies.
            calls: Arguments of each call.
        """
        ...
