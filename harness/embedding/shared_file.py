"""Files of a store besides its embeddings that machines share, such as fitted heads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.embedding.remote import RemoteFolder
from harness.errors import BadInputError
from harness.files import write_atomically


def fetch_shared(path: Path, address: str | None, *, check: Callable[[Path], object]) -> None:
    """Have a file in the mirror, if the address has it; nothing is done where it is there already.

    Args:
        path: The file, in a folder of the mirror that has the same name at the address.
        address: The store's; None for one that is not shared.
        check: Refuses a damaged file.

    Raises:
        BadInputError: If it cannot be fetched, or is refused.
    """
    if address is None or path.exists():
        return
    folder = RemoteFolder(address).within(path.parent.name)
    if path.name not in folder.names():
        return

    def write(temporary: Path) -> None:
        folder.fetch({path.name: temporary})
        try:
            check(temporary)
        except BadInputError as error:
            there = f"{folder.address}/{path.name}"
            raise BadInputError(f"{there} is damaged: delete it; it will be made again") from error

    write_atomically(path, write)


def put_shared(path: Path, address: str | None) -> None:
    """Give others what was just written.

    Args:
        path: See `fetch_shared`.
        address: See `fetch_shared`.

    Raises:
        BadInputError: If it cannot be sent.
    """
    if address is not None:
        RemoteFolder(address).within(path.parent.name).put(path)
