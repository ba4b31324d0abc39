"""The workers of a process, from outside."""

import psutil


def workers_of(process):
    """The processes that a process has started to work for it, in the order of their starts."""
    children = psutil.Process(process).children(recursive=True)
    return sorted(filter(_is_worker, children), key=psutil.Process.create_time)


def _is_worker(process):
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # it has just died
        return False
