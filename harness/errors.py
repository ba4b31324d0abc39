"""The errors that a user sees as one line on standard error, and their exit statuses."""

import errno

_REMEDIES = {
    errno.ENOSPC: "make room and run the same command again",
    errno.EDQUOT: "make room and run the same command again",
    errno.EROFS: "make it writable, or name another folder",
    errno.EACCES: "make it writable, or name another folder",
}


class HarnessError(Exception):
    """An error that ends a command with one line and no traceback.

    Attributes:
        exit_status: What the process returns to the shell.
    """

    exit_status = 1


class BadInputError(HarnessError):
    """Bad input or configuration: the message says what is wrong and how to mend it.

    Nothing has been written when it is raised.
    """

    exit_status = 2


class TaskFailedError(HarnessError):
    """A task did not finish; everything that was finished is kept."""

    exit_status = 1


def explain(error: Exception) -> str:
    """One line on what went wrong, as a user reads it."""
    line = " ".join(str(error).split())
    if isinstance(error, HarnessError):
        return line
    if isinstance(error, OSError) and error.filename is not None:
        remedy = _REMEDIES.get(error.errno or 0)
        return f"{error.filename}: {error.strerror}{f'; {remedy}' if remedy else ''}"
    return f"unexpected {type(error).__name__}: {line} (debug=true shows where)"


def brief(error: BaseException) -> str:
    """The beginning of a library's error on one line, for a message of ours."""
    return " ".join(str(error).split())[:200] or type(error).__name__
