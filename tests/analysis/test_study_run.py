"""A study over collections, heads and transforms: its figures, and what it keeps."""

import re

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from harness.analysis import study_run
from harness.analysis.analyser import Analyser
from harness.analysis.choice import SETTINGS, choose
from harness.analysis.study import POINTS
from harness.analysis.study_run import run_study
from harness.config import AlignedSparseConfig, StudyConfig, identity, parse
from tests.analysis.conftest import DOCUMENTS, QUERIES, write_collection

pytestmark = pytest.mark.usefixtures("one_thread")

CAT = ("q6", "a cat", {"cat": 1})
DEFAULT = AlignedSparseConfig()
OWN = {"doc_weight": DEFAULT.doc_weight, "doc_norm": DEFAULT.doc_norm}
GRID = {
    "heads": {"own": {"kind": "lm_head"}, "input": {"kind": "tied"}},
    "transforms": {"none": {"kind": "none"}, "center": {"kind": "center"}},
    "documents": [{"doc_weight": "relu", "doc_norm": "none"}, OWN],
    "doc_top_k": [8, DEFAULT.doc_top_k],
    "query_expansion": [DEFAULT.query_expansion, 2],
    "query_weight": ["binary", DEFAULT.query_weight],
    "most_flops": 5.0,
}


@pytest.fixture
def study(analyze_config, stories, tmp_path):
    """Runs a study of stories260K: its result; `again` counts what is scored anew."""

    def run(*overrides, modes=("dense", "aligned_sparse", "bm25"), **grid):
        config = analyze_config(stories, f"retrieval=[{','.join(modes)}]", *overrides)
        config.parts = ["study"]
        config.study = parse(StudyConfig, OmegaConf.create(GRID | grid), where="study")
        return run_study(Analyser(config), tmp_path / "kept")

    return run


@pytest.fixture
def scored(monkeypatch):
    """The heads that were scored, one after another."""
    calls = []
    plain = study_run.study_head

    def counted(head, collection, groups):
        calls.append((collection.name, type(head).__name__))
        return plain(head, collection, groups)

    monkeypatch.setattr(study_run, "study_head", counted)
    return calls


def test_points_stand_beside_dense(study):
    found = study()
    points = found.points
    assert len(points) == 2 * 2 * 2 * 2 * 2 * 2
    assert set(POINTS) <= set(points)
    assert points["task"].unique().tolist() == ["tales"]
    pairs = points[["head", "transform"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [["own", "none"], ["own", "center"], ["input", "none"], ["input", "center"]]
    dense = found.references.set_index("name").loc["dense"]
    assert (dense["ratio"], dense["flops_share"]) == (1.0, 1.0)
    flops = 2 * 64 * len(DOCUMENTS)
    np.testing.assert_allclose(points["ratio"], points["ndcg"] / dense["ndcg"])
    np.testing.assert_allclose(points["flops_share"], points["scoring_flops"] / flops)
    assert (points["documents"] == len(DOCUMENTS)).all()
    assert points["row"].tolist() == list(range(len(points)))
    assert points["ndcg"].nunique() > 8


def test_fronts_are_drawn_apart_where_a_model_runs(study):
    points = study().points
    assert points["runs_model"].tolist() == (points["query_expansion"] > 0).tolist()
    for _, group in points.groupby("runs_model"):
        rows = group[["flops_share", "ndcg"]].to_numpy().tolist()
        for number, (cost, quality) in enumerate(rows):
            beaten = any(
                (c <= cost and q > quality) or (c < cost and q >= quality) for c, q in rows
            )
            expected = not beaten and rows.index([cost, quality]) == number
            assert group["front"].iloc[number] == expected
    assert points[points["runs_model"]]["front"].any()
    assert points[~points["runs_model"]]["front"].any()


def test_the_default_is_a_run_s_setting_with_the_first_head(study):
    points = study().points
    (default,) = points[points["default"]].to_dict(orient="records")
    wanted = identity(DEFAULT) | {"head": "own", "transform": "none"}
    assert {name: default[name] for name in SETTINGS} == {name: wanted[name] for name in SETTINGS}
    assert not study(doc_top_k=[8]).points["default"].any()


def test_references_are_the_run_s_modes(study):
    references = study().references
    assert references["name"].tolist() == ["dense", "aligned_sparse", "bm25"]
    dense = references["ndcg"][0]
    np.testing.assert_allclose(references["ratio"], references["ndcg"] / dense)
    default = study().points.query("default").iloc[0]
    sparse = references.iloc[1]
    assert sparse["ndcg"] == pytest.approx(default["ndcg"], abs=1e-6)
    assert sparse["flops_share"] == pytest.approx(default["flops_share"])
    assert sparse["index_bytes"] == default["index_bytes"]


def test_every_mode_is_tested_against_dense_and_bm25(study):
    found = study(modes=("dense", "aligned_sparse", "hybrid", "bm25")).differences
    pairs = [*zip(found["mode"], found["against"], strict=True)]
    assert pairs == [
        *(("aligned_sparse", "dense"), ("hybrid", "dense"), ("bm25", "dense")),
        *(("aligned_sparse", "bm25"), ("hybrid", "bm25")),
    ]
    assert (found["p_holm"] >= found["p"]).all()
    alone = study(modes=("dense",))
    assert len(alone.differences) == 0
    assert alone.references["name"].tolist() == ["dense"]


def test_two_collections_choose_apart_and_are_tried_on_each_other(study, tmp_path):
    write_collection(tmp_path / "first", DOCUMENTS, QUERIES[:3])
    write_collection(tmp_path / "second", DOCUMENTS[:9], [QUERIES[1], CAT])
    both = f"tasks.path=[{tmp_path / 'first'},{tmp_path / 'second'}]"
    found = study(both)
    assert found.points["task"].unique().tolist() == ["first", "second"]
    assert found.points.groupby("task").size().tolist() == [64, 64]
    assert found.points.groupby("task")["documents"].first().to_dict() == {"first": 14, "second": 9}
    transfer = found.transfer
    assert [*zip(transfer["chosen_on"], transfer["task"], strict=True)] == [
        (origin, task) for origin in ("default", "first", "second") for task in ("first", "second")
    ]
    for origin in ("first", "second"):
        part = found.points.query(f"task == '{origin}'").reset_index(drop=True)
        scores = kept_scores(part, tmp_path / "kept")
        np.testing.assert_allclose(scores.mean(axis=1), part["ndcg"], atol=1e-6)
        number = choose(part, scores, most_flops=5.0)
        chosen = transfer[transfer["chosen_on"] == origin].iloc[0]
        assert {name: chosen[name] for name in SETTINGS} == {
            name: part.iloc[number][name] for name in SETTINGS
        }
        assert not part.iloc[number]["runs_model"]
    merged = transfer.merge(found.points, on=["task", *SETTINGS], suffixes=("", "_of_point"))
    assert len(merged) == 6
    for name in ("ndcg", "ratio", "flops_share", "index_bytes"):
        np.testing.assert_array_equal(merged[name], merged[f"{name}_of_point"])
    assert (transfer["low"] <= transfer["ratio"] + 1e-9).all()
    assert (transfer["ratio"] <= transfer["high"] + 1e-9).all()
    per_collection = found.differences.groupby("task", sort=False)
    assert per_collection.size().to_dict() == {"first": 3, "second": 3}


def kept_scores(part, folder):
    """The stored scores of a collection's points, each head's and transform's by its means."""
    (task,) = part["task"].unique()
    stored = [
        np.stack(pd.read_parquet(path)["scores"].to_list())
        for path in folder.glob(f"{task}-*.parquet")
    ]
    assert len(stored) == 4
    ordered = [
        next(one for one in stored if np.allclose(one.mean(axis=1), own["ndcg"], atol=1e-6))
        for _, own in part.groupby(["head", "transform"], sort=False)
    ]
    return np.concatenate(ordered)


def test_nothing_is_chosen_where_nothing_is_cheap_enough(study):
    found = study(most_flops=0.0, doc_top_k=[8])
    assert len(found.transfer) == 0


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_collection_of_one_query(study, tmp_path):
    write_collection(tmp_path / "one", DOCUMENTS, QUERIES[:1])
    found = study(f"tasks.path=[{tmp_path / 'one'}]")
    assert set(found.transfer["chosen_on"]) == {"default", "one"}
    assert (found.differences["p"] == 1.0).all()


# What is kept.


def same(first, second):
    for name in ("points", "references", "transfer", "differences"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))


def test_what_is_scored_is_not_scored_again(study, scored, tmp_path):
    found = study()
    assert scored == [("tales", "LmHead")] * 2 + [("tales", "TiedHead")] * 2
    assert len(list((tmp_path / "kept").iterdir())) == 4
    same(study(), found)
    assert len(scored) == 4


def test_one_more_transform_is_all_that_is_scored(study, scored):
    study()
    transforms = GRID["transforms"] | {"top": {"kind": "all_but_top", "components": 1}}
    found = study(transforms=transforms)
    assert len(scored) == 4 + 2
    assert found.points["transform"].nunique() == 3


def test_names_of_heads_and_transforms_are_no_part_of_what_is_kept(study, scored):
    study()
    heads = {"renamed": {"kind": "lm_head"}, "again": {"kind": "tied"}}
    found = study(heads=heads)
    assert len(scored) == 4
    assert found.points["head"].unique().tolist() == ["renamed", "again"]


@pytest.mark.parametrize(
    "changed",
    [
        {"doc_top_k": [8, 64]},
        {"query_weight": ["binary", "score"]},
        {"documents": [{"doc_weight": "raw"}, {"doc_weight": "relu", "literal_share": 0.1}]},
        {"heads": {"own": {"kind": "lm_head", "normalize": True}}},
        {"transforms": {"pc": {"kind": "pc1", "weight": 1.0}}},
    ],
    ids=["k", "weight", "literal", "head", "transform"],
)
def test_other_settings_are_scored_anew(study, scored, changed):
    study()
    before = len(scored)
    study(**changed)
    parts = len((GRID | changed)["heads"]) * len((GRID | changed)["transforms"])
    assert len(scored) == before + parts


def rewritten(tmp_path, documents=DOCUMENTS, queries=QUERIES):
    import shutil

    shutil.rmtree(tmp_path / "tales")
    write_collection(tmp_path / "tales", documents, queries)


def test_other_texts_ids_and_judgements_are_scored_anew(study, scored, tmp_path):
    small = {"heads": {"own": {"kind": "lm_head"}}, "transforms": {"none": {"kind": "none"}}}
    study(**small)
    name, title, text = DOCUMENTS[4]
    first, second = ("x", "the moon", {"ball": 1, "dog": 1}), ("y", "the sea", {"park": 1})
    moved = ("x", "the moon", {"ball": 1}), ("y", "the sea", {"dog": 1, "park": 1})
    variants = [
        {"documents": [*DOCUMENTS[:4], (name, title, f"{text} Then it left."), *DOCUMENTS[5:]]},
        {"documents": [*DOCUMENTS[:-1], ("wood", *DOCUMENTS[-1][1:])], "queries": QUERIES[:3]},
        {"queries": QUERIES[:3]},
        {"queries": [("other", *QUERIES[0][1:]), *QUERIES[1:]]},
        {"queries": [(*QUERIES[0][:2], QUERIES[0][2] | {"ball": 1}), *QUERIES[1:]]},
        {"queries": [(*QUERIES[0][:2], QUERIES[0][2] | {"tree": 1}), *QUERIES[1:]]},
        # The same grades of the same documents in the same order, of other queries.
        {"queries": [first, second]},
        {"queries": list(moved)},
    ]
    means = []
    for count, variant in enumerate(variants, 2):
        rewritten(tmp_path, **variant)
        means.append(study(**small).points["ndcg"].mean())
        assert len(scored) == count, variant
    assert means[-1] != means[-2]
    rewritten(tmp_path)
    study(**small)
    assert len(scored) == len(variants) + 1  # the first collection's part is still there


def test_another_encoder_is_scored_anew(study, scored):
    small = {"heads": {"own": {"kind": "lm_head"}}, "transforms": {"none": {"kind": "none"}}}
    study(**small)
    study("pooling=last_token", **small)
    assert len(scored) == 2


def test_a_damaged_part_is_refused_in_one_line(study, tmp_path, refusal):
    small = {"heads": {"own": {"kind": "lm_head"}}, "transforms": {"none": {"kind": "none"}}}
    found = study(**small)
    (path,) = (tmp_path / "kept").iterdir()
    whole = path.read_bytes()
    line = f"{path}: a part of a study is unreadable; delete it, and it is scored again"
    table = pd.read_parquet(path)
    for content in (b"", b"PAR1", whole[: len(whole) // 2], b"x" + whole):
        path.write_bytes(content)
        assert refusal(lambda: study(**small)) == line
    for changed in (table.drop(columns="scores"), table.drop(columns="ndcg")):
        changed.to_parquet(path, index=False)
        assert refusal(lambda: study(**small)) == line
    path.unlink()
    same(study(**small), found)
    assert path.read_bytes() == whole


def test_no_flipped_bit_changes_a_score_unseen(study, tmp_path):
    small = {"heads": {"own": {"kind": "lm_head"}}, "transforms": {"none": {"kind": "none"}}}
    study(**small)
    (path,) = (tmp_path / "kept").iterdir()
    whole = path.read_bytes()
    expected = study_run._read(path)
    refused = 0
    for place in range(0, len(whole), 13):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        try:
            found = study_run._read(path)
        except study_run.BadInputError:
            refused += 1
            continue
        np.testing.assert_array_equal(found.per_query, expected.per_query)
        pd.testing.assert_frame_equal(found.points, expected.points)
    assert refused > 50


def test_the_file_s_name_is_the_task_s_escaped(study, tmp_path):
    odd = tmp_path / "a b<i>&"
    write_collection(odd, DOCUMENTS, QUERIES)
    config = f"tasks.path=['{odd}']"
    study(config, heads={"own": {"kind": "lm_head"}}, transforms={"none": {"kind": "none"}})
    (path,) = (tmp_path / "kept").iterdir()
    assert re.fullmatch(r"a%20b%3Ci%3E%26-[0-9a-f]{16}\.parquet", path.name)


def test_a_ridge_head_of_words_and_of_tokens_are_parts_of_their_own(
    analyze_config, tiny_bert, tmp_path, scored
):
    config = analyze_config(tiny_bert, "head=ridge", "retrieval=[dense]")
    config.parts = ["study"]
    heads = {"tokens": {"kind": "ridge"}, "words": {"kind": "ridge", "unit": "word"}}
    grid = GRID | {"heads": heads, "transforms": {"none": {"kind": "none"}}}
    config.study = parse(StudyConfig, OmegaConf.create(grid), where="study")
    found = run_study(Analyser(config), tmp_path / "kept")
    assert scored == [("tales", "RidgeHead")] * 2
    sizes = found.points.groupby("head")["index_bytes"].max()
    assert sizes["tokens"] != sizes["words"]
