"""The ablation of training stages beside what a run and the other parts say of the same models."""

import numpy as np
import pytest

from harness.alignment.rates import alignment_rates
from harness.analysis.alignment import counts_of, own_tokens, tokens_table
from harness.analysis.stages_run import StageAnalyser
from harness.config import StagesConfig, parse
from harness.embedding.transformers_backend import TransformersBackend
from harness.evaluation.heads import build_head
from harness.evaluation.runner import Runner
from tests.analysis.conftest import DOCUMENTS, QUERIES, moved_model, write_collection

pytestmark = pytest.mark.usefixtures("one_thread")

OWN = {"first": "causal", "second": "bidirectional"}


@pytest.fixture(scope="session")
def trained(stories, tmp_path_factory):
    """A folder of two stages: stories260K, and the same a little moved."""
    folder = tmp_path_factory.mktemp("stages")
    (folder / "first").symlink_to(stories, target_is_directory=True)
    moved_model(stories, folder / "second", scale=0.03)
    return folder


@pytest.fixture
def configured(analyze_config, trained):
    """The configuration of an analysis of the stages."""

    def make(*overrides, **stages):
        config = analyze_config(trained / "nowhere", "parts=[rates]", *overrides)
        config.parts = ["stages"]
        given = {"path": str(trained), "folders": ["first", "second"], "poolings": ["eos", "mean"]}
        config.stages = parse(StagesConfig, given | stages, where="stages")
        return config

    return make


@pytest.fixture
def stage_of(analyze_config, collection_of, trained):
    """One stage's own setting as the other parts have it: its collection and its head."""

    def make(stage):
        config = analyze_config(
            trained / stage, f"model.attention={OWN[stage]}", "pooling=mean", "instruction=none"
        )
        collection = collection_of(config)
        head = build_head(config, collection.corpus.encoder)
        head.fit(collection.corpus)
        return collection, head

    return make


@pytest.fixture
def run_rows(tmp_path, folder, trained):
    """`harness run` of one stage: mode to nDCG@10 and share of dense."""
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder
    from harness.config import RunConfig

    def run(stage, attention, pooling, *overrides):
        settings = [
            *("model=local", f"model.path={trained / stage}", f"model.attention={attention}"),
            *(f"pooling={pooling}", "head=lm_head", "instruction=none", "backend.device=cpu"),
            *("tasks=folder", f"tasks.path=[{folder}]", "cost=off"),
            *(f"store_dir={tmp_path / 'other'}", f"results_dir={tmp_path / 'results'}"),
        ]
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose("run", overrides=[*settings, *overrides])
        outcome = Runner(parse(RunConfig, composed, where="")).run()
        assert not outcome.failed
        return {row.mode: (row.value, row.ratio) for row in outcome.rows if row.main}

    return run


def test_the_grid_is_what_runs_score(configured, run_rows):
    grid = StageAnalyser(configured()).run().dense
    keys = ["task", "stage", "attention", "pooling"]
    assert grid[keys].to_numpy().tolist() == [
        ["tales", stage, attention, pooling]
        for stage in ("first", "second")
        for attention in ("causal", "bidirectional")
        for pooling in ("eos", "mean")
    ]
    assert grid["ndcg"].nunique() == 8
    for row in [*grid.iloc[1::2].to_dict(orient="records"), grid.iloc[6].to_dict()]:
        rows = run_rows(row["stage"], row["attention"], row["pooling"], "retrieval=[dense]")
        assert row["ndcg"] == pytest.approx(rows["dense"][0], abs=1e-5)
    own = grid[grid["own"]][keys[1:]].to_numpy().tolist()
    assert own == [["first", "causal", "mean"], ["second", "bidirectional", "mean"]]


@pytest.mark.parametrize("stage", ["first", "second"])
def test_modes_are_a_run_s(configured, run_rows, stage):
    found = StageAnalyser(configured()).run()
    modes = found.modes[found.modes["stage"] == stage].set_index("mode")
    asked = "retrieval=[dense,aligned_sparse,hybrid,bm25]"
    rows = run_rows(stage, OWN[stage], "mean", asked)
    expanded = run_rows(
        stage, OWN[stage], "mean", asked, "retrieval.aligned_sparse.query_expansion=16"
    )
    fused = run_rows(
        stage, OWN[stage], "mean", asked, "retrieval.hybrid.modes=[dense,aligned_sparse]"
    )
    expected = {
        "dense": rows["dense"],
        "aligned_sparse_m0": rows["aligned_sparse"],
        "aligned_sparse_m16": expanded["aligned_sparse"],
        "hybrid": rows["hybrid"],
        "hybrid_sparse": fused["hybrid"],
        "bm25": rows["bm25"],
    }
    assert modes.index.tolist() == list(expected)
    for mode, (value, ratio) in expected.items():
        assert modes.loc[mode, "ndcg"] == pytest.approx(value, abs=1e-5)
        assert modes.loc[mode, "share"] == pytest.approx(ratio, abs=1e-4)
    grid = found.dense[found.dense["own"] & (found.dense["stage"] == stage)]
    assert grid["ndcg"].tolist() == [modes.loc["dense", "ndcg"]]
    shares = found.summary.set_index("stage").loc[stage]
    assert shares["sparse_m16"] == modes.loc["aligned_sparse_m16", "share"]
    assert (modes["p_holm"].dropna() >= modes["p"].dropna()).all()
    assert len(modes["p_holm"].dropna()) == 5


def test_the_movement_is_a_plain_loop_s(configured, stage_of):
    found = StageAnalyser(configured()).run().variations.set_index("stage")
    h = stage_of("first")[0].corpus.pooled.astype(np.float64)
    moved = stage_of("second")[0].corpus.pooled.astype(np.float64)
    u = np.linalg.svd(h, full_matrices=False).Vh
    u_1 = u[0] * np.sign((h @ u[0]).mean())
    total, squares = 0.0, 0.0
    for text in range(len(DOCUMENTS)):
        total += sum((moved[text, j] - h[text, j]) * u_1[j] for j in range(h.shape[1]))
    for j in range(h.shape[1]):
        squares += float(np.mean(moved[:, j] - h[:, j])) ** 2
    v_1 = total / len(DOCUMENTS)
    assert found.loc["second", "v_1"] == pytest.approx(v_1, rel=1e-4)
    assert found.loc["second", "v_1_share"] == pytest.approx(v_1**2 / squares, rel=1e-4)
    others = [abs(np.mean((moved - h) @ u[j])) for j in range(1, 10)]
    assert found.loc["second", "largest_other"] == pytest.approx(max(others), rel=1e-3)
    assert found.loc["first", "v_1"] == 0
    assert np.isnan(found.loc["first", "v_1_share"])
    energy = ((h @ u_1) ** 2).sum() / (h**2).sum()
    assert found["energy"].tolist() == pytest.approx([energy] * 2, rel=1e-5)
    assert (found["texts"] == len(DOCUMENTS)).all()
    assert v_1 != 0


@pytest.mark.parametrize("stage", ["first", "second"])
def test_rates_and_tokens_are_read_through_the_stage_s_own_head(configured, stage_of, stage):
    found = StageAnalyser(configured(examples=3)).run()
    collection, head = stage_of(stage)
    rates = found.rates[found.rates["stage"] == stage].set_index(["side", "metric"])["value"]
    for texts in (collection.corpus, collection.queries):
        counts = counts_of(head, head.read(texts), own_tokens(head, texts), k=10, device="cpu")
        expected = alignment_rates(counts, seed=0)
        for metric in ("hit", "lar", "gar"):
            value = getattr(expected, metric).value
            assert rates[texts.side, metric] == pytest.approx(value, abs=1e-6)
    tokens = found.tokens[found.tokens["stage"] == stage]
    expected = tokens_table(head, "tales", collection.queries, top_k=10).iloc[:30]
    assert tokens["id"].tolist() == expected["id"].tolist()
    assert tokens["id"].nunique() == 3
    assert tokens["term"].tolist() == expected["term"].tolist()
    np.testing.assert_allclose(tokens["weight"], expected["weight"], rtol=1e-5)


def test_another_head_reads_the_same_embeddings(configured):
    own = StageAnalyser(configured("head=ridge")).run()
    other = StageAnalyser(configured(head={"kind": "ridge"})).run()
    assert own.dense.equals(other.dense)
    hits = [found.rates.query("side == 'document'")["value"].tolist() for found in (own, other)]
    assert hits[0] != hits[1]
    assert own.modes["ndcg"][1] != other.modes["ndcg"][1]


def test_what_is_stored_is_not_encoded_again(configured, monkeypatch):
    first = StageAnalyser(configured()).run()
    monkeypatch.setattr(TransformersBackend, "embed", lambda *_, **__: pytest.fail("encoded again"))
    again = StageAnalyser(configured()).run()
    for name in ("summary", "dense", "modes", "rates", "variations", "tokens"):
        assert getattr(again, name).equals(getattr(first, name)), name


def test_settings_of_the_own_setting_and_of_the_modes(configured):
    found = StageAnalyser(
        configured(
            *("retrieval.aligned_sparse.doc_top_k=4", "max_texts=3", "hit_k=2", "seed=5"),
            folders={"b": "second", "a": "first"},
            attentions=["bidirectional"],
            attention={"b": "bidirectional"},
            pooling="eos",
            poolings=["eos"],
            query_expansion=[2],
            threshold=0.0,
            examples=0,
        )
    ).run()
    assert found.dense[["stage", "attention", "pooling", "own"]].to_numpy().tolist() == [
        ["b", "bidirectional", "eos", True],
        ["a", "bidirectional", "eos", True],
    ]
    assert found.modes["mode"].unique().tolist() == [
        *("dense", "aligned_sparse_m2", "hybrid", "hybrid_sparse", "bm25"),
    ]
    assert (found.rates["texts"] == 3).all()
    assert (found.rates["k"] == 2).all()
    assert (found.variations["texts"] == 3).all()
    assert len(found.tokens) == 0
    assert found.threshold == 0
    assert "sparse_m2" in found.summary


def test_several_collections_stand_one_after_another(configured, tmp_path):
    more = write_collection(
        tmp_path / "more", DOCUMENTS[:9], [QUERIES[1], ("q6", "a cat", {"cat": 1})]
    )
    config = configured(
        f"tasks.path=[{tmp_path / 'tales'},{more}]", poolings=["mean"], query_expansion=[0]
    )
    found = StageAnalyser(config).run()
    for table in (found.summary, found.dense, found.modes, found.rates, found.variations):
        assert table["task"].unique().tolist() == ["tales", "more"]
    alone = configured(f"tasks.path=[{more}]", poolings=["mean"], query_expansion=[0])
    part = found.modes[found.modes["task"] == "more"].reset_index(drop=True)
    assert StageAnalyser(alone).run().modes.equals(part)


# What is refused.


def test_a_stage_that_is_not_there(configured, trained, refusal):
    line = refusal(lambda: StageAnalyser(configured(folders=["first", "simcse"])))
    assert line == (
        f"stages: {trained / 'simcse'} holds no model (no config.json) for the stage simcse; "
        "train it, or name the stages that are there: stages.folders=[...]"
    )


def test_a_stage_of_another_width(configured, tiny_llama, refusal):
    folders = {"first": "first", "tiny": str(tiny_llama)}
    analyser = StageAnalyser(configured(folders=folders, poolings=["mean"]))
    assert refusal(analyser.run) == (
        "stages: the embeddings of tiny are 16 wide, the first stage's 64; name stages of one "
        "model in stages.folders=[...]"
    )


def test_a_head_without_a_matrix(configured, refusal):
    line = refusal(lambda: StageAnalyser(configured(head={"kind": "identity"})))
    assert line.startswith("the spectrum is read through a head's matrix, which this head has not")
