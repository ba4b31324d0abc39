"""Approximate modes in a whole run, beside the exact ones that they stand for."""

from harness.evaluation.runner import Runner

LIKE = {"faiss_hnsw": "dense", "faiss_ivf": "dense", "seismic": "aligned_sparse"}


def test_what_misses_nothing_scores_the_same(run_config, tiny_bert):
    modes = ["dense", "aligned_sparse", *LIKE]
    config = run_config(
        "model=local",
        f"model.path={tiny_bert}",
        "pooling=mean",
        "head=ridge",
        f"retrieval=[{','.join(modes)}]",
        "retrieval.seismic.heap_factor=0.001",
        "cost=light",
        "cost.latency_queries=2",
    )
    rows = {row.mode: row for row in Runner(config).run().rows}
    assert list(rows) == modes
    for mode, like in LIKE.items():
        assert rows[mode].value == rows[like].value
        assert rows[mode].ratio == rows[like].ratio
        assert rows[mode].cost["recall_against_exact"] == 1
        assert rows[like].cost["recall_against_exact"] is None
        assert rows[mode].cost["index_bytes"] > 0
    assert rows["seismic"].cost["query_flops"] is None
    assert rows["faiss_ivf"].cost["query_flops"] > 0
    kept = Runner(config).run()
    assert (kept.computed, kept.kept) == (0, 5)


def test_only_exact_search_is_what_others_are_compared_with(run_config, tiny_bert):
    config = run_config(
        "model=local",
        f"model.path={tiny_bert}",
        "pooling=mean",
        "retrieval=[faiss_ivf,bm25]",
    )
    assert [row.ratio for row in Runner(config).run().rows] == [None, None]
