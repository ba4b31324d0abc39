"""Literal results on disk, as `harness run` lays them out, that tests of reports share."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from harness.evaluation.explanations import EXPLANATIONS_FILE
from harness.evaluation.kept_texts import TEXTS_FILE
from harness.evaluation.metrics import NAMES, per_query_metrics, per_query_table, qrels_table
from harness.evaluation.results import read_result

PLACE = ("test", "default")
SETTINGS = {"version": 1, "mode": {"kind": "dense", "similarity": "cosine"}}
ENVIRONMENT = {
    "hardware": {"cpu": "Some CPU", "cores": 2, "memory_bytes": 1 << 34, "gpus": []},
    "software": {"harness": "0.1.0", "torch": "2.13.0"},
    "commit": {"commit": "0123456789abcdef", "dirty": True},
}

RANKINGS = pa.schema(
    [
        *((name, pa.string()) for name in ("split", "subset", "query_id")),
        *(("rank", pa.int32()), ("document_id", pa.string()), ("score", pa.float32())),
    ]
)

# One relevant document a query, r; its rank is what MRR@10 tells.
QRELS = {f"q{number}": {"r": 1} for number in range(1, 6)}


def run_of(ranks):
    """Five queries whose relevant document has these ranks; None for not found."""
    run = {}
    for query, rank in zip(QRELS, ranks, strict=True):
        others = [f"d{place}" for place in range(1, 4)]
        ranked = others if rank is None else [*others[: rank - 1], "r", *others[rank - 1 :]]
        run[query] = {document: float(9 - place) for place, document in enumerate(ranked)}
    return run


FIRST = run_of([1, 1, 2, 1, None])  # MRR: 1, 1, .5, 1, 0
SECOND = run_of([1, 2, 1, None, None])  # MRR: 1, .5, 1, 0, 0


def write_stored(
    results,
    *,
    task="toy",
    folder="dense-cosine-0123456789ab",
    model="org/model",
    mode="dense",
    settings=SETTINGS,
    revision="data1",
    metric="mrr_at_10",
    places=None,
    texts=None,
    explanations=(),
    cost=None,
    config="format: table\n",
    environment=ENVIRONMENT,
    **options,
):
    """Write one result and read it; without places it is of a task that ranks nothing.

    Args:
        places: Split and subset to run and judgements.
        texts: Kind and id to text, of every place.
        explanations: Rows of `explanations.parquet`.
        options: What a score leaves out.
    """
    path = results / model.replace("/", "__") / "r1" / "experiments" / folder / f"{task}.json"
    details = path.with_suffix("")
    details.mkdir(parents=True)
    tables, scores = {}, {}
    for place, (run, qrels) in (places or {}).items():
        metrics = per_query_metrics(run, qrels, **options)
        value = metrics.values[:, NAMES.index(metric)].mean()
        scores.setdefault(place[0], []).append({"main_score": value, "hf_subset": place[1]})
        tables.setdefault("per_query.parquet", []).append(per_query_table(*place, metrics))
        tables.setdefault("qrels.parquet", []).append(qrels_table(*place, qrels))
        tables.setdefault("rankings.parquet", []).append(rankings_table(place, run))
        if texts is not None:
            tables.setdefault(TEXTS_FILE, []).append(texts_rows(place, texts))
    if explanations:
        tables[EXPLANATIONS_FILE] = [pa.Table.from_pylist(list(explanations))]
    for name, parts in tables.items():
        pq.write_table(pa.concat_tables(parts), details / name)
    record = {
        **{"mode": mode, "model": model, "revision": "r1", "settings": settings, "folder": folder},
        **{"main_metric": metric, "task_type": "Retrieval"},
    }
    for name, content in (
        ("experiment", record),
        ("environment", environment),
        ("cost", cost or {}),
    ):
        (details / f"{name}.json").write_text(json.dumps(content))
    (details / "config.yaml").write_text(config)
    (path.parent / "model_meta.json").write_text("{}")
    scores = scores or {"test": [{"main_score": 0.5, "hf_subset": "default"}]}
    result = {"task_name": task, "dataset_revision": revision, "scores": scores}
    path.write_text(json.dumps(result))
    return read_result(path)


def rankings_table(place, run):
    rows = [
        (*place, query, rank, document, score)
        for query, found in run.items()
        for rank, (document, score) in enumerate(found.items(), start=1)
    ]
    return pa.Table.from_pylist(
        [dict(zip(RANKINGS.names, row, strict=True)) for row in rows], RANKINGS
    )


def texts_rows(place, texts):
    names = ("split", "subset", "kind", "id", "text")
    return pa.Table.from_pylist(
        [dict(zip(names, (*place, *key, text), strict=True)) for key, text in texts.items()]
    )
