"""A folder at any address that fsspec knows, such as S3: files come and go whole."""

from __future__ import annotations

import errno
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from harness.errors import BadInputError, brief

# What is put there is seen whole or not at all, and folders need not be made.
_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "tos")
_PACKAGES = {"s3": "'harness[s3]'", "s3a": "'harness[s3]'", "gs": "gcsfs", "gcs": "gcsfs"}
_PACKAGES |= dict.fromkeys(("abfs", "abfss", "az"), "adlfs") | {"sftp": "paramiko"}
_WAITS = (0.5, 2.0)  # seconds before another try; file systems have their own tries too
_HERE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # of this machine's disk: no other try helps
_NO_CREDENTIALS = (
    *("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"),  # botocore
    *("TokenRetrievalError", "UnauthorizedSSOTokenError", "CredentialRetrievalError"),
    *("DefaultCredentialsError", "RefreshError"),  # Google
    *("ClientAuthenticationError",),  # Azure
)

T = TypeVar("T")


def is_address(place: str) -> bool:
    """Whether a text is an address, `scheme://…`, and not a path."""
    return "://" in place


@dataclass(frozen=True)
class RemoteFolder:
    """One folder.

    It holds nothing but its address, so that another process can open the same one.

    Attributes:
        address: `scheme://place`.
    """

    address: str

    def __post_init__(self) -> None:
        """Refuse what is no address, or should not be written down.

        Raises:
            BadInputError: If the address names no place, or has a password.
        """
        parts = urlsplit(self.address)
        if parts.password is not None:
            raise BadInputError(
                f"store_dir={self._scheme}://…@{parts.hostname} has a password in it, which would "
                "be written into results; put it into ~/.config/fsspec/ and leave it out here"
            )
        if not self.address.partition("://")[2].strip("/") and not self._scheme == "file":
            raise BadInputError(
                f"store_dir={self.address} names no place; give one, such as s3://BUCKET/FOLDER"
            )

    def check(self) -> None:
        """Make sure that the address can be spoken to; nothing is sent.

        Raises:
            BadInputError: If its scheme is unknown, or needs a package that is not installed.
        """
        self._file_system()

    def within(self, *parts: str) -> RemoteFolder:
        """A folder in this one; it need not be there."""
        return RemoteFolder("/".join([self.address.rstrip("/"), *parts]))

    def names(self) -> set[str]:
        """Names of what is in the folder; none where it is not there yet.

        Raises:
            BadInputError: If it cannot be read, or the bucket that it would be in is not there.
        """

        def listed(fs: Any, path: str) -> set[str] | None:
            fs.invalidate_cache(path)  # what others have put meanwhile is not in it
            try:
                return {entry["name"].rpartition("/")[2] for entry in fs.ls(path, detail=True)}
            except FileNotFoundError:
                if self._is_object_store and not fs.exists(path.partition("/")[0]):
                    return None
                return set()

        found = self._attempt("read", listed)
        if found is None:
            raise BadInputError(
                f"{self._bucket} is not there, or these credentials do not open it; make the "
                "bucket, or give another store_dir"
            )
        return found

    def fetch(self, files: Mapping[str, Path]) -> None:
        """Copy files from the folder.

        Args:
            files: Name to the place that it is written to: one that nobody reads before this ends.

        Raises:
            BadInputError: If one of them is not there, or cannot be read.
            OSError: If this machine's disk is full.
        """

        def get(fs: Any, path: str) -> None:
            fs.get([f"{path}/{name}" for name in files], [str(place) for place in files.values()])

        self._attempt("read", get)

    def put(self, file: Path, name: str | None = None) -> None:
        """Copy a file into the folder; others see all of it or nothing.

        Args:
            file: A file of this machine.
            name: Its name there; its own when None.

        Raises:
            BadInputError: If it cannot be written.
        """
        name = name or file.name

        def send(fs: Any, path: str) -> None:
            if self._is_object_store:
                fs.put_file(str(file), f"{path}/{name}")
                return
            fs.makedirs(path, exist_ok=True)
            temporary = f"{path}/.{name}.{uuid.uuid4().hex}.tmp"
            try:
                fs.put_file(str(file), temporary)
                fs.mv(temporary, f"{path}/{name}")
            except BaseException:
                if fs.exists(temporary):
                    fs.rm(temporary)
                raise

        self._attempt("written", send)

    @property
    def _scheme(self) -> str:
        return self.address.partition("://")[0]

    @property
    def _is_object_store(self) -> bool:
        return self._scheme in _OBJECT_STORES

    @property
    def _bucket(self) -> str:
        return f"{self._scheme}://{urlsplit(self.address).netloc}"

    def _file_system(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        try:
            return url_to_fs(self.address)  # type: ignore[no-any-return]  # fsspec has no types
        except ImportError as error:
            package = _PACKAGES.get(self._scheme)
            remedy = f"pip install {package}" if package else brief(error)
            raise BadInputError(
                f"{self.address} needs a package that is not installed: {remedy}"
            ) from error
        except ValueError as error:
            raise BadInputError(
                f"{self.address} cannot be opened ({brief(error)}); give a folder as store_dir, or "
                "an address such as s3://BUCKET/FOLDER"
            ) from error

    def _attempt(self, deed: str, action: Callable[[Any, str], T]) -> T:
        """Do what may fail for a moment: some tries, then an error that a person understands."""
        fs, path = self._file_system()
        for wait in (*_WAITS, None):
            try:
                return action(fs, path.rstrip("/"))
            except (PermissionError, FileNotFoundError, NotImplementedError) as error:
                raise self._refused(deed, error) from error
            except Exception as error:
                if isinstance(error, OSError) and error.errno in _HERE:
                    raise
                if type(error).__name__ in _NO_CREDENTIALS:
                    raise self._refused(deed, error) from error
                if wait is None:
                    raise BadInputError(
                        f"{self.address} cannot be {deed} after {len(_WAITS) + 1} tries "
                        f"({brief(error)}); check the network and the service's address, then run "
                        "the same command again: what is encoded is kept"
                    ) from error
                time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _refused(self, deed: str, error: Exception) -> BadInputError:
        """What will not get better by itself."""
        if isinstance(error, FileNotFoundError):
            remedy = f"is {self._bucket} there? make it, or give another store_dir"
        elif isinstance(error, NotImplementedError):
            remedy = "give another store_dir"
        elif self._scheme in ("s3", "s3a"):
            remedy = (
                "give credentials that may: AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL where it is not Amazon's"
            )
        else:
            remedy = "give credentials that may, as fsspec's package for it reads them"
        return BadInputError(f"{self.address} cannot be {deed} ({brief(error)}); {remedy}")
