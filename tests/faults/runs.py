"""Runs as processes of their own, and what they leave on disk without what a clock has decided."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from harness.evaluation.digests import DIGESTS_FILE
from tests.evaluation.conftest import write_folder

WORDS = [
    *("cat", "mat", "dog", "fox", "bread", "moon", "piano", "rain", "yes"),
    *("no", "quick", "brown", "lazy", "small", "animal", "sat", "said", "again"),
    *("query", "passage", "means", "word", "sentence", "jumps", "over"),
]
ROOT = Path(__file__).parents[2]
MODES = ("aligned_sparse", "bm25", "dense", "hybrid")

# What differs between two runs of one configuration, in the record of a result and in that of its
# cost: times, what is computed from them, and what was in the store already.
TIMES_OF_A_RESULT = ("date", "evaluation_time", "evaluation_phases")
TIMES_OF_A_COST = (
    *(f"latency_{part}_ms" for part in ("tokenise", "encode", "search")),
    *(f"latency_p{p}_{end}ms" for p in (50, 95, 99) for end in ("", "low_", "high_")),
    *("cold_latency_ms", "encode_seconds", "fit_seconds", "documents_per_second"),
    *("tokens_per_second", "encode_flops_per_second", "mfu", "matmul_peak"),
    *("peak_host_bytes", "peak_encode_host_bytes", "texts_encoded", "texts_read", "padding_share"),
    "padding_flops",
)


def write_collection(folder: Path, *, documents: int = 40, queries: int = 8) -> Path:
    """A collection of made-up texts, no two alike and each of another length."""
    said = [
        " ".join(WORDS[(n * k) % len(WORDS)] for k in range(1, 4 + n)) for n in range(documents)
    ]
    return write_folder(
        folder,
        [(f"d{n}", "", f"{text} {WORDS[n % 7]}") for n, text in enumerate(said)],
        [(f"q{n}", said[2 * n + 3], {f"d{2 * n + 3}": 2, f"d{n}": 1}) for n in range(queries)],
    )


def run_command(collection: Path, model: Path, *overrides: str) -> list[str]:
    """`harness run` of four modes, with costs; a batch holds two or three texts."""
    return [
        *("run", "tasks=folder", f"tasks.path={collection}", "model=local", f"model.path={model}"),
        *("pooling=mean", "head=ridge", "store_dir=store", "results_dir=results"),
        *("backend.device=cpu", "backend.token_budget=64"),
        *("cost.latency_queries=3", "cost.latency_warmup=1", "cost.matmul_peak=false"),
        *overrides,
    ]


REPORT = ["report", "results_dir=results", "leaderboards_dir=leaderboards", "resamples=200"]


@dataclass(frozen=True)
class Started:
    """A process under way."""

    process: int
    output: Path
    zygote: "Zygote"

    def wait(self) -> int:
        """Its exit status, negative for the signal that ended it."""
        return int(self.zygote._ask(wait=self.process))

    def said(self) -> str:
        """Standard output and standard error so far."""
        return self.output.read_text(encoding="utf-8")


class Zygote:
    """Starts runs in processes of their own, see `zygote.py`."""

    def __init__(self, folder: Path, commands: list[list[str]]) -> None:
        single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        environment = os.environ | single | {"TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "zygote.txt").open("w"),
            text=True,
            env=environment | {"PYTHONPATH": str(ROOT)},
        )
        answer = self._ask(folder=str(folder), commands=commands)
        assert answer == "ready", (folder / "zygote.txt").read_text()

    def start(self, folder: Path, *commands: list[str], shard_each_batch: bool = True) -> Started:
        """Start commands in a folder, one after the other.

        Args:
            folder: The working directory, made if it is not there; relative folders are in it.
            commands: What to run; the first that fails is the last.
            shard_each_batch: Whether every batch is written at once, not those of 30 s together.
        """
        folder.mkdir(parents=True, exist_ok=True)
        count = len(list(folder.glob("said-*")))
        output = folder / f"said-{count}.txt"
        output.touch()
        order = {
            "folder": str(folder),
            "output": str(output),
            "commands": list(commands),
            "shard_each_batch": shard_each_batch,
        }
        return Started(int(self._ask(start=order)), output, self)

    def finish(self, folder: Path, *commands: list[str]) -> str:
        """Run commands that succeed: what they said."""
        started = self.start(folder, *commands)
        status = started.wait()
        assert status == 0, started.said()
        return started.said()

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _ask(self, **order: object) -> str:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


def finished(folder: Path) -> dict[str, Path]:
    """Mode to `{Task}.json` of the results under a working directory."""
    found = {}
    for path in (folder / "results").glob("*/*/experiments/*/*.json"):
        if path.name != "model_meta.json":
            record = path.with_suffix("") / "experiment.json"
            found[json.loads(record.read_text())["mode"]] = path
    return found


def stored_texts(folder: Path) -> int:
    """Distinct texts whose vectors are in the store, those of each space counted apart."""
    keys = set()
    for index in (folder / "store" / "embeddings").glob("*/shard-*.arrow"):
        with pa.memory_map(str(index)) as source:
            table = pa.ipc.open_file(source).read_all()
        keys |= {(index.parent.name, key) for key in table.column("key").to_pylist()}
    return len(keys)


def records(folder: Path) -> list[dict]:
    """The records of all runs that have ended well, in the order of their ends."""
    paths = sorted(
        (folder / "results" / "runs").glob("*.json"), key=lambda path: path.stat().st_mtime
    )
    return [one for path in paths if (one := json.loads(path.read_text()))["status"] == "done"]


def lasting(folder: Path) -> dict[str, bytes]:
    """What a results folder holds, by path.

    All but run records, locks, what clocks decide, and temporary files of a killed writer.
    """
    found = {}
    root = folder / "results"
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        # The checksums are of times too.
        left_out = name.parts[0] == "runs" or path.suffix in (".lock", ".tmp")
        if path.is_dir() or left_out or path.name == DIGESTS_FILE:
            continue
        content = path.read_bytes()
        if path.name == "cost.json":
            content = _without(content, TIMES_OF_A_COST)
        elif path.with_suffix("").is_dir():
            content = _without(content, TIMES_OF_A_RESULT)
        found[str(name)] = content
    return found


def _without(content: bytes, keys: tuple[str, ...]) -> bytes:
    """A JSON record without keys, its own and those of the records in it."""
    record = json.loads(content)
    for part in (record, *record.values()):
        if isinstance(part, dict):
            for key in keys:
                part.pop(key, None)
    return json.dumps(record, indent=2).encode()
