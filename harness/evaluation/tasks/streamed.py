"""A corpus that is read as a stream: its documents lie on disk, ordered by id."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

from harness.embedding.disk_strings import DiskStrings, StringsWriter, sort_strings
from harness.embedding.scratch import scratch_folder
from harness.errors import BadInputError
from harness.evaluation.task_texts import joined

Document = tuple[str, str, str]  # id, title, text


class StreamedCorpus(Sequence[Document]):
    """Documents in the order of their file, as mteb's rows of a corpus are.

    Attributes:
        column_names: `id`, `title` and `text`; `corpus["id"]` has those of all documents.
        ids: Which ids there are.
        sorted_ids: The ids, ascending.
        sorted_texts: Title and text joined, in the order of `sorted_ids`.
    """

    column_names = ("id", "title", "text")

    def __init__(self, documents: Iterable[Document], scratch: Path) -> None:
        """Write documents to disk as they come.

        Args:
            documents: In the file's order; ids may repeat, see `repeated`.
            scratch: A folder for a folder that goes with the corpus.

        Raises:
            BadInputError: If the disk is full, or what `documents` raises.
        """
        self._folder = scratch_folder(scratch)
        folder = Path(self._folder.name)
        try:
            with (
                StringsWriter(folder / "id") as ids,
                StringsWriter(folder / "title") as titles,
                StringsWriter(folder / "text") as texts,
            ):
                for name, title, text in documents:
                    ids.add(name)
                    titles.add(title)
                    texts.add(text)
        except OSError as error:
            raise BadInputError(
                f"{folder} cannot be written ({error}); make room, or give another folder as "
                "store_dir"
            ) from error
        self._columns = {name: DiskStrings(folder / name) for name in self.column_names}
        order = sort_strings(self._columns["id"], folder / "order")
        self.sorted_ids = self._columns["id"].in_order(order)
        self.ids = _Ids(self.sorted_ids)
        titles_in_order = self._columns["title"].in_order(order)
        self.sorted_texts = _Joined(titles_in_order, self._columns["text"].in_order(order))

    def repeated(self) -> str | None:
        """An id that several documents have."""
        before = None
        for name in self.sorted_ids:
            if name == before:
                return name
            before = name
        return None

    def __len__(self) -> int:
        return len(self.sorted_ids)

    def __iter__(self) -> Iterator[Document]:
        return zip(*self._columns.values(), strict=True)

    @overload
    def __getitem__(self, place: int) -> Document: ...

    @overload
    def __getitem__(self, place: slice) -> list[Document]: ...

    @overload
    def __getitem__(self, place: str) -> DiskStrings: ...

    def __getitem__(self, place: int | slice | str) -> Document | list[Document] | DiskStrings:
        if isinstance(place, str):
            return self._columns[place]
        if isinstance(place, slice):
            parts = (column[place] for column in self._columns.values())
            return list(zip(*parts, strict=True))
        ids, titles, texts = self._columns.values()
        return ids[place], titles[place], texts[place]


class _Ids(Container[str]):
    """Which ids there are, looked up on disk."""

    def __init__(self, ascending: DiskStrings) -> None:
        self._ascending = ascending

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        row = bisect_left(self._ascending, name)
        return row < len(self._ascending) and self._ascending[row] == name


class _Joined(Sequence[str]):
    """Titles and texts joined, see `joined`."""

    def __init__(self, titles: DiskStrings, texts: DiskStrings) -> None:
        self._titles, self._texts = titles, texts

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        return map(joined, self._titles, self._texts)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return list(map(joined, self._titles[place], self._texts[place]))
        return joined(self._titles[place], self._texts[place])
