"""A function called in a Python of its own, whose peak memory is then the function's.

    python -m tests.benchmarks.fresh MODULE:FUNCTION ARGUMENTS

prints {"result": …, "peak_bytes": …}; arguments and result are JSON.
"""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.cost.memory import peak_host_bytes

_REPOSITORY = Path(__file__).parents[2]
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def fresh_call(function: str, *arguments: Any, threads: int | None = None) -> tuple[Any, int]:
    """Call `module:function` in a new process: what it returned, and its peak resident bytes.

    Args:
        function: Of a module that can be imported from the repository's root.
        arguments: In JSON's types, as is what the function returns.
        threads: Of the libraries that count in threads; each library's own choice when None.

    Raises:
        subprocess.CalledProcessError: If the function raises; its traceback goes to standard error.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment |= dict.fromkeys(_THREADS, str(threads))
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.fresh", function, json.dumps(arguments)],
        check=True,
        cwd=_REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = json.loads(done.stdout)
    return found["result"], found["peak_bytes"]


if __name__ == "__main__":
    module, _, name = sys.argv[1].partition(":")
    returned = getattr(import_module(module), name)(*json.loads(sys.argv[2]))
    print(json.dumps({"result": returned, "peak_bytes": peak_host_bytes()}))
