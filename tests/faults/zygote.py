"""A process that has imported everything and run once, and forks a child for each command given.

Most of a small run's time goes to imports. A forked child begins where they end, so that a kill
at a random moment falls into the work; apart from that it is a process like any other. Libraries
have one thread each here, because a fork has none of its parent's.

Standard input takes one JSON object a line, `start` with what to run, or `wait` with a process id;
the answer is a line with the process id, or with the exit status as `subprocess` tells it.
"""

import contextlib
import io
import json
import os
import signal
import sys

from harness.cli import _main


def child(order) -> int:
    """Run commands one after the other until one fails: its exit status, else 0."""
    os.chdir(order["folder"])
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(order["output"], os.O_WRONLY)
    for target, source in ((0, null), (1, output), (2, output)):
        os.dup2(source, target)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), write_through=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if order["shard_each_batch"]:
        import harness.embedding.encoder

        harness.embedding.encoder._SHARD_SECONDS = 0.0
    for command in order["commands"]:
        sys.argv = ["harness", *command]
        try:
            status = _main(command)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
            status = 1
        if status:
            return status
    return 0


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warm_up = json.loads(sys.stdin.readline())
    os.chdir(warm_up["folder"])
    for command in warm_up["commands"]:
        with contextlib.redirect_stdout(io.StringIO()):
            status = _main(command)
        assert status == 0, command
    answers.write("ready\n")
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
            continue
        process = os.fork()
        if not process:
            os._exit(child(order["start"]))
        answers.write(f"{process}\n")


if __name__ == "__main__":
    main()
