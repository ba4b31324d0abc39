"""One task's texts, made once and shared by all modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.embedding.streamed_texts import StreamedTexts
from harness.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.embedding.encoder import TextEncoder
    from harness.embedding.instructions import Side
    from harness.embedding.texts import Texts

Place = tuple[str, str]  # (split, subset)


def joined(title: str | None, text: str) -> str:
    """A document as it is read: title and text joined as mteb joins them."""
    return f"{title} {text}".strip() if title else text.strip()


class TaskTexts:
    """Keeps the texts that a task asked for, so that a later mode finds them encoded."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._made: dict[tuple[Place, Side], list[Texts]] = {}

    def corpus(self, place: Place, rows: Any) -> Texts:
        """Documents ordered by id, title and text joined as mteb joins them.

        A place has one corpus: it is joined and ordered once.
        """
        if made := self._made.get((place, "document")):
            return made[0]
        if hasattr(rows, "sorted_texts"):  # a corpus on disk
            streamed = StreamedTexts(
                rows.sorted_ids, rows.sorted_texts, side="document", encoder=self._encoder
            )
            self._made[place, "document"] = [streamed]
            return streamed
        titles = rows["title"] if "title" in rows.column_names else [""] * len(rows)
        texts = [joined(title, text) for title, text in zip(titles, rows["text"], strict=True)]
        pairs = sorted(zip(rows["id"], texts, strict=True))
        return self.get(place, "document", [p[0] for p in pairs], [p[1] for p in pairs])

    def queries(self, place: Place, rows: Any) -> Texts:
        """Queries in the task's order, each with its own instruction if the task has some."""
        texts = list(rows["text"])
        if any(not isinstance(text, str) for text in texts):
            raise BadInputError("a query is a conversation; only tasks with plain queries are run")
        if "instruction" in rows.column_names:
            texts = [
                f"{text} {instruction}" if instruction is not None else text
                for text, instruction in zip(texts, rows["instruction"], strict=True)
            ]
        return self.get(place, "query", list(rows["id"]), texts)

    def get(self, place: Place, side: Side, ids: Sequence[str], texts: Sequence[str]) -> Texts:
        """The texts of a side of a (split, subset); the same object for the same texts."""
        made = self._made.setdefault((place, side), [])
        for known in made:
            if list(known.ids) == list(ids) and list(known.texts) == list(texts):
                return known
        made.append(self._encoder.texts(ids, texts, side))
        return made[-1]

    def asked(self, subset: str | None = None) -> list[tuple[Place, Texts]]:
        """Everything that was asked for, in order; of one subset, or of all."""
        return [
            (place, texts)
            for (place, _), made in self._made.items()
            if subset is None or place[1] == subset
            for texts in made
        ]

    def learnable(self, subset: str | None = None) -> Texts:
        """The distinct texts of `asked` that a head may learn from, ascending.

        Those of the document side where a task has sides, else all of them; labels, scores and
        pairs are never seen.
        """
        parts = [texts for _, texts in self.asked(subset)]
        side: Side = "symmetric"
        if all(part.side != "symmetric" for part in parts):
            side = "document" if any(part.side == "document" for part in parts) else "query"
        # In an order of their own: mteb goes through some tasks in the order of a set.
        distinct = sorted({text for part in parts if part.side == side for text in part.texts})
        ids = [str(number) for number in range(1, len(distinct) + 1)]
        return self._encoder.texts(ids, distinct, side)
