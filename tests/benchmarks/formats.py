"""What a collection scores with its embeddings kept in a smaller format.

    python -m tests.benchmarks.formats FOLDER STORE [SETTING=VALUE ...]

prints a table of nDCG@10 for a collection in BEIR's format. MiniLM encodes it once, as float32,
into the store, unless it lies there. The places of the other formats get those vectors, so that
their runs read what they would have encoded.
"""

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from hydra import compose, initialize_config_dir

from harness.cli import config_folder
from harness.config import RunConfig, build, parse
from harness.embedding.encoder import TextEncoder
from harness.embedding.formats import FORMATS
from harness.embedding.model import EmbeddingModel
from harness.evaluation.encoder import build_encoder, with_published_settings
from harness.evaluation.runner import Runner

HEADS = {"ridge": ("head=ridge",), "words": ("head=ridge", "head.unit=word")}


class Score(NamedTuple):
    """One mode with embeddings in one format.

    Attributes:
        mode: `dense`, or aligned sparse with a head of `HEADS`.
        kind: The format.
        ndcg: nDCG@10.
        store_bytes: What the store's files of the format take, documents and queries.
    """

    mode: str
    kind: str
    ndcg: float
    store_bytes: int


def scores(collection: Path, store: Path, *settings: str) -> list[Score]:
    """Every mode in every format, by mode; float32 is the first."""
    found = []
    exact: TextEncoder | None = None
    for kind in FORMATS:
        for name, head in HEADS.items():
            modes = ["dense", "aligned_sparse"] if name == "ridge" else ["aligned_sparse"]
            config = _config(collection, store, kind, *head, *settings, modes=modes)
            encoder = _encoder(config)
            if exact is not None:
                _copy(exact, encoder)
            with tempfile.TemporaryDirectory() as results:
                config.results_dir = results
                outcome = Runner(config).run()
            if exact is None:
                exact = encoder
            else:
                assert outcome.texts_encoded == 0
            for row in outcome.rows:
                if row.metric == "ndcg_at_10" and row.value is not None:
                    mode = "dense" if row.kind == "dense" else f"aligned sparse, {name}"
                    found.append(Score(mode, kind, row.value, _store_bytes(encoder)))
    return sorted(found, key=lambda one: one.mode != "dense")


def table(found: list[Score]) -> str:
    """The scores in Markdown, with the change from float32."""
    lines = ["| mode | store_dtype | store | nDCG@10 | change |", "|---|---|--:|--:|--:|"]
    for one in sorted(found, key=lambda one: [score.mode for score in found].index(one.mode)):
        size = f"{one.store_bytes / 2**20:.2f} MiB"
        lines.append(
            f"| {one.mode} | {one.kind} | {size} | {one.ndcg:.5f} | {change(one, found):+.5f} |"
        )
    return "\n".join(lines)


def change(one: Score, found: list[Score]) -> float:
    """The score less that of float32."""
    (exact,) = (other for other in found if (other.mode, other.kind) == (one.mode, "float32"))
    return one.ndcg - exact.ndcg


def _config(
    collection: Path, store: Path, kind: str, *settings: str, modes: list[str]
) -> RunConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose(
            "run",
            overrides=[
                *("model=minilm", "tasks=folder", f"tasks.path={collection}", "cost=off"),
                f"retrieval=[{','.join(modes)}]",
                *(f"store_dir={store}", f"store_dtype={kind}"),
                *settings,
            ],
        )
    return parse(RunConfig, composed, where="")


def _encoder(config: RunConfig) -> TextEncoder:
    model = build(config.model)
    assert isinstance(model, EmbeddingModel)
    return build_encoder(with_published_settings(config, model), model)


def _copy(source: TextEncoder, target: TextEncoder) -> None:
    """Fill a format's empty places with the vectors that float32's have."""
    for side in ("document", "query"):
        exact, other = source.store(side), target.store(side)
        keys = [key for shard in exact._shards.values() for key in shard.keys.to_pylist()]
        missing = [key for key, at in zip(keys, other.find(keys), strict=True) if at < 0]
        if missing:
            other.add(missing, *exact.read(exact.find(missing)))


def _store_bytes(encoder: TextEncoder) -> int:
    folders = {encoder.store(side).folder for side in ("document", "query")}
    shards = (path for folder in folders for path in folder.glob("shard-*"))
    return sum(path.stat().st_size for path in shards)


if __name__ == "__main__":
    print(table(scores(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])))
