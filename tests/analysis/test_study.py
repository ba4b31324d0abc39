"""The study scores what a run scores: every setting against a retriever of its own."""

from itertools import product

import numpy as np
import pytest
from omegaconf import OmegaConf

from harness.analysis.references import references
from harness.analysis.study import (
    POINTS,
    ndcg_of,
    search_depth,
    study_head,
    study_settings,
)
from harness.config import AlignedSparseConfig, StudyConfig, build, parse, parse_component
from harness.evaluation.heads import build_head
from harness.evaluation.metrics import NAMES, per_query_metrics
from harness.retrieval.ranking import Ranking, to_run
from harness.retrieval.retriever import Dependencies
from tests.analysis.conftest import DOCUMENTS, QUERIES, write_collection

pytestmark = pytest.mark.usefixtures("one_thread")

GRID = {
    "heads": {"own": {"kind": "lm_head"}},
    "transforms": {"none": {"kind": "none"}},
    "documents": [
        {"doc_weight": "raw", "doc_norm": "none"},
        {"doc_weight": "log1p", "doc_norm": "l2"},
        {"doc_weight": "binary", "doc_norm": "none", "literal_share": 0.3},
        {"doc_weight": "relu", "doc_norm": "l2", "literal_share": 0.5},
    ],
    "doc_top_k": [3, 40, 100_000],
    "query_expansion": [0, 4],
    "query_weight": ["binary", "idf", "score"],
}
HEADS = [
    ("stories", {"kind": "lm_head"}, {"kind": "none"}),
    ("stories", {"kind": "lm_head"}, {"kind": "all_but_top", "components": 2}),
    ("stories", {"kind": "lm_head"}, {"kind": "pc1", "weight": -5.0}),
    ("stories", {"kind": "tied", "normalize": True}, {"kind": "embed_filter"}),
    ("tiny_bert", {"kind": "ridge"}, {"kind": "none"}),
    ("tiny_bert", {"kind": "ridge", "unit": "word", "stemmer": "english"}, {"kind": "center"}),
    ("tiny_bert", {"kind": "whole_word", "of": {"kind": "ridge"}}, {"kind": "none"}),
    ("tiny_bert", {"kind": "mlm"}, {"kind": "center"}),
    ("tiny_llama", {"kind": "compressed", "rank": 6, "of": {"kind": "lm_head"}}, {"kind": "none"}),
]


def groups_of(**changes):
    return study_settings(parse(StudyConfig, OmegaConf.create(GRID | changes), where="study"))


def qrels_of(collection):
    """The judgements as mteb has them."""
    coordinates = collection.grades.tocoo()
    qrels = {}
    for query, document, grade in zip(
        coordinates.row, coordinates.col, coordinates.data, strict=True
    ):
        own = qrels.setdefault(collection.queries.ids[query], {})
        own[collection.corpus.ids[document]] = int(grade)
    return qrels


def official(ranking, collection):
    """nDCG@10 of each query as a run scores it, with pytrec_eval."""
    metrics = per_query_metrics(
        to_run(ranking, collection.queries.ids, collection.corpus.ids),
        qrels_of(collection),
        ignore_identical_ids=collection.ignore_identical_ids,
    )
    assert metrics.query_ids == tuple(collection.queries.ids)
    return metrics.values[:, NAMES.index("ndcg_at_10")]


def configured(analyze_config, model, head, transform):
    config = analyze_config(model)
    config.head = parse_component("head", head, where="head")
    config.transform = parse_component("transform", transform, where="transform")
    return config


@pytest.mark.parametrize(
    ("model", "head", "transform"), HEADS, ids=[f"{h['kind']}-{t['kind']}" for _, h, t in HEADS]
)
def test_every_setting_scores_and_costs_what_its_own_retriever_does(
    request, analyze_config, collection_of, model, head, transform
):
    config = configured(analyze_config, request.getfixturevalue(model), head, transform)
    collection = collection_of(config)
    encoder = collection.corpus.encoder
    groups = groups_of()
    part = study_head(build_head(config, encoder), collection, groups)
    everything = [one for group in groups for one in group]
    assert tuple(part.points.columns) == POINTS
    assert len(part.points) == len(everything) == 4 * 3 * 2 * 3
    assert part.per_query.shape == (len(everything), len(QUERIES))
    assert part.per_query.dtype == np.float32
    if model == "stories":
        assert part.points["ndcg"].nunique() > 10

    own_head = build_head(config, encoder)
    fresh = collection.under(encoder)
    points = part.points.to_dict(orient="records")
    for one, point, scores in list(zip(everything, points, part.per_query, strict=True))[::5]:
        retriever = build(
            one, dependencies=Dependencies("own", encoder=encoder, head=own_head, retrievers={})
        )
        retriever.index(fresh.corpus)
        expected = official(retriever.search(fresh.queries, 1000), collection)
        np.testing.assert_allclose(scores, expected, atol=1e-6, err_msg=str(one))
        assert point["ndcg"] == pytest.approx(expected.mean(), abs=1e-6)
        work = retriever.work(fresh.queries)
        assert point["scoring_flops"] == pytest.approx(work.scoring_flops)
        assert point["index_bytes"] == work.index_bytes
        assert point["runs_model"] == work.encodes_queries
        reads = own_head.flops_per_text if work.head_reads_queries else 0
        assert point["head_flops_per_query"] == reads
        assert all(point[name] == getattr(one, name) for name in POINTS[:6])


def test_the_grid_is_every_combination_and_shares_indexes():
    groups = groups_of()
    found = [
        (one.doc_weight, one.literal_share, one.doc_top_k, one.query_expansion, one.query_weight)
        for group in groups
        for one in group
    ]
    documents = [("raw", 0), ("log1p", 0), ("binary", 0.3), ("relu", 0.5)]
    wanted = [
        (*document, k, m, weight)
        for document, k, m, weight in product(
            documents, [3, 40, 100_000], [0, 4], ["binary", "idf", "score"]
        )
    ]
    assert found == wanted
    for group in groups:
        shared = {(one.doc_weight, one.doc_norm, one.literal_share, one.doc_top_k) for one in group}
        assert len(shared) == 1


def test_no_model_runs_for_queries_of_inference_free_settings(
    stories, analyze_config, collection_of, monkeypatch
):
    config = analyze_config(stories)
    collection = collection_of(config)
    head = build_head(config, collection.corpus.encoder)
    read = []
    plain = type(head).read

    def recorded(self, texts):
        read.append(texts.side)
        return plain(self, texts)

    monkeypatch.setattr(type(head), "read", recorded)
    study_head(head, collection, groups_of(query_expansion=[0], query_weight=["binary", "idf"]))
    assert set(read) == {"document"}
    study_head(head, collection, groups_of(query_expansion=[0], query_weight=["score"]))
    assert set(read) == {"document", "query"}


# A query's own document.


@pytest.fixture
def arguana(tmp_path, analyze_config, collection_of):
    """The collection under the name of a task that ignores a document with the query's id."""

    def make(model, queries=QUERIES):
        folder = write_collection(tmp_path / "ArguAna", queries=queries)
        config = analyze_config(model, f"tasks.path=[{folder}]")
        return config, collection_of(config)

    return make


def test_a_document_with_the_query_s_id_is_no_answer(stories, arguana):
    """Query `cat` finds document `cat` first, which takes no rank."""
    config, collection = arguana(stories)
    assert collection.ignore_identical_ids
    assert search_depth(collection) == 11
    encoder = collection.corpus.encoder
    groups = groups_of(doc_top_k=[40])
    part = study_head(build_head(config, encoder), collection, groups)
    everything = [one for group in groups for one in group]
    differs = 0
    for one, scores in list(zip(everything, part.per_query, strict=True))[::5]:
        head = build_head(config, encoder)
        retriever = build(
            one, dependencies=Dependencies("own", encoder=encoder, head=head, retrievers={})
        )
        retriever.index(collection.corpus)
        found = retriever.search(collection.queries, 1000)
        np.testing.assert_allclose(scores, official(found, collection), atol=1e-6)
        kept = per_query_metrics(
            to_run(found, collection.queries.ids, collection.corpus.ids), qrels_of(collection)
        )
        differs += not np.allclose(scores, kept.values[:, NAMES.index("ndcg_at_10")])
    assert differs


def test_what_is_taken_out_makes_room_for_rank_11(stories, arguana):
    """The own document stands at rank 3 of 11; the only relevant one moves from 11 to 10."""
    _, collection = arguana(stories, [("cat", "the cat", {"tree": 1})])
    row = {name: place for place, name in enumerate(collection.corpus.ids)}
    others = [place for name, place in row.items() if name not in ("cat", "tree")][:9]
    order = [*others[:2], row["cat"], *others[2:], row["tree"]]
    ranking = Ranking(np.array([order], np.int32), np.arange(11, 0, -1, dtype=np.float32)[None])
    assert ndcg_of(ranking, collection).tolist() == [pytest.approx(1 / np.log2(11))]
    np.testing.assert_allclose(ndcg_of(ranking, collection), official(ranking, collection))


def test_a_query_without_a_document_of_its_id_keeps_all_padding(stories, arguana):
    _, collection = arguana(stories, [("nobody", "the cat", {"tree": 1})])
    row = list(collection.corpus.ids).index("tree")
    ranking = Ranking.empty(1, 11)
    ranking.documents[0, 0], ranking.scores[0, 0] = row, 1.0
    assert ndcg_of(ranking, collection).tolist() == [1.0]


def test_other_tasks_keep_the_query_s_own_document(stories, analyze_config, collection_of):
    collection = collection_of(analyze_config(stories))
    assert not collection.ignore_identical_ids
    assert search_depth(collection) == 10
    ranking = Ranking.empty(len(QUERIES), 10)
    own = [name for name, _, _ in QUERIES].index("cat")
    ranking.documents[own, 0] = list(collection.corpus.ids).index("cat")
    expected = 1 / (2 + 1 / np.log2(3))
    assert ndcg_of(ranking, collection)[own] == pytest.approx(expected)


# Whole modes beside it.


def test_references_score_and_cost_what_a_run_does(stories, analyze_config, collection_of):
    config = analyze_config(stories)
    collection = collection_of(config)
    encoder = collection.corpus.encoder
    found = references(config.retrieval, collection, build_head(config, encoder))
    assert list(found) == ["dense", "aligned_sparse", "hybrid", "bm25"]
    built = {}
    for name, mode in config.retrieval.items():
        head = build_head(config, encoder)
        built[name] = build(
            mode,
            dependencies=Dependencies(name, encoder=encoder, head=head, retrievers=built),
        )
    for name, retriever in built.items():
        retriever.index(collection.corpus)
        expected = official(retriever.search(collection.queries, 1000), collection)
        np.testing.assert_allclose(found[name].scores, expected, atol=1e-6)
        work = retriever.work(collection.queries)
        assert found[name].scoring_flops == work.scoring_flops
        assert found[name].index_bytes == work.index_bytes
    assert found["dense"].scoring_flops == 2 * 64 * len(DOCUMENTS)


def test_references_are_the_scores_of_a_run(tmp_path, stories, analyze_config, collection_of):
    """The reference's mean is the figure that `harness run` files."""
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder
    from harness.config import RunConfig
    from harness.evaluation.runner import Runner

    config = analyze_config(stories)
    collection = collection_of(config)
    found = references(config.retrieval, collection, build_head(config, collection.corpus.encoder))
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose(
            "run",
            overrides=[
                *("model=local", f"model.path={stories}", "head=lm_head", "backend.device=cpu"),
                *("tasks=folder", f"tasks.path={tmp_path / 'tales'}", "cost=off"),
                *(f"results_dir={tmp_path / 'results'}", f"store_dir={tmp_path / 'store'}"),
                f"baselines_dir={tmp_path / 'baselines'}",
            ],
        )
    outcome = Runner(parse(RunConfig, composed, where="")).run()
    scored = {row.mode: row.value for row in outcome.rows}
    assert scored == {
        name: pytest.approx(one.scores.mean(), abs=1e-4) for name, one in found.items()
    }


def test_a_default_setting_is_a_run_s_default():
    from harness.cli import config_folder

    written = OmegaConf.load(config_folder() / "retrieval" / "aligned_sparse.yaml")
    assert parse(AlignedSparseConfig, written, where="") == AlignedSparseConfig()
