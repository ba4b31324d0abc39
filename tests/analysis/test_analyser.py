"""An analysis of one configuration: which tables, of which texts, and what λ is judged by."""

import numpy as np
import pytest

from harness.analysis.alignment import rates_table, tokens_table
from harness.analysis.analyser import Analyser, sampled
from harness.analysis.references import references
from harness.config import FirstComponentConfig, parse_component
from harness.evaluation.heads import build_head
from tests.analysis.conftest import DOCUMENTS, QUERIES, write_collection

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def analyse(analyze_config):
    def run(model, *overrides):
        analyser = Analyser(analyze_config(model, *overrides))
        return analyser, analyser.run()

    return run


def test_all_parts_of_a_collection(analyse, tiny_llama, collection_of):
    analyser, found = analyse(tiny_llama)
    assert (found.model, found.head) == ("local/tiny-llama", "lm_head")
    assert found.rates[["task", "side", "texts"]].drop_duplicates().to_numpy().tolist() == [
        ["tales", "document", len(DOCUMENTS)],
        ["tales", "query", len(QUERIES)],
    ]
    assert found.tokens.groupby(["side", "id"], sort=False).size().tolist() == [10] * 19
    (spectrum,) = found.spectra
    assert (spectrum.name, spectrum.backbone) == ("tales", "local/tiny-llama")
    assert len(spectrum.spectrum) == 10
    assert spectrum.contributions["id"].nunique() == 6
    assert spectrum.sweep["weight"].is_monotonic_increasing
    collection = collection_of(analyser.config)
    expected = rates_table(analyser.head, "tales", collection.queries, k=10, seed=0)
    assert found.rates.iloc[3:].reset_index(drop=True).equals(expected)
    expected = tokens_table(analyser.head, "tales", collection.queries, top_k=10)
    assert found.tokens.iloc[140:].reset_index(drop=True).equals(expected)


@pytest.mark.parametrize("part", ["rates", "tokens", "spectrum", "study"])
def test_only_what_is_asked_for(analyse, tiny_llama, part):
    more = ("experiment=aligned_study", "head=lm_head") if part == "study" else ()
    _, found = analyse(tiny_llama, *more, f"parts=[{part}]")
    assert (len(found.rates) > 0) == (part == "rates")
    assert (len(found.tokens) > 0) == (part == "tokens")
    assert len(found.spectra) == (part == "spectrum")


def test_settings_of_the_tables(analyse, tiny_llama):
    _, found = analyse(
        tiny_llama,
        *("hit_k=3", "top_k=2", "max_texts=4", "spectrum.examples=1", "spectrum.components=2"),
        *("spectrum.weights=[1.5]", "seed=3"),
    )
    assert (found.rates["k"] == 3).all()
    assert (found.rates["texts"] == 4).all()
    assert found.tokens.groupby(["side", "id"]).size().tolist() == [2] * 8
    (spectrum,) = found.spectra
    assert len(spectrum.spectrum) == 2
    assert len(spectrum.contributions) == 2
    assert len(spectrum.adjusted) == 2 * 2  # the backbone's, and adjusted
    first = -spectrum.spectrum["mean_projection"][0]
    assert spectrum.sweep["weight"].tolist() == pytest.approx([first, 0, 1.5])
    assert spectrum.sweep["hit"].isin([0, 0.25, 0.5, 0.75, 1]).all()


def test_several_collections(analyse, tiny_llama, tmp_path):
    write_collection(tmp_path / "more", DOCUMENTS[:5], [("q", "a cat", {"cat": 1})])
    _, found = analyse(tiny_llama, f"tasks.path=[{tmp_path / 'tales'},{tmp_path / 'more'}]")
    assert found.rates["task"].unique().tolist() == ["tales", "more"]
    assert [one.name for one in found.spectra] == ["tales", "more"]


def test_the_lines_of_a_file(analyse, tiny_llama, tmp_path):
    path = tmp_path / "my texts.txt"
    path.write_text("One day.\n\nA cat sat.\nA dog ran.\n")
    _, found = analyse(tiny_llama, f"texts='{path}'")
    assert found.rates[["task", "side", "texts"]].drop_duplicates().to_numpy().tolist() == [
        ["my texts.txt", "symmetric", 3]
    ]
    assert found.tokens["id"].unique().tolist() == ["1", "3", "4"]
    (spectrum,) = found.spectra
    assert spectrum.name == "my texts.txt"
    assert spectrum.sweep["ndcg"].isna().all()
    assert spectrum.sweep["hit"].notna().all()


# λ.


def plain_ndcg(config, collection, head):
    """Aligned sparse retrieval of a run, with another head."""
    mode = config.retrieval["aligned_sparse"]
    found = references({"aligned_sparse": mode}, collection, head)
    return found["aligned_sparse"].scores.mean()


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("retrieval.aligned_sparse.scope=literal", "retrieval.aligned_sparse.doc_top_k=3"),
        ("retrieval.aligned_sparse.query_weight=score", "retrieval.aligned_sparse.doc_weight=raw"),
        ("transform=center",),
    ],
    ids=["default", "literal", "score", "center"],
)
def test_without_an_adjustment_the_sweep_scores_what_a_run_does(
    analyse, stories, collection_of, overrides
):
    settings = ("parts=[spectrum]", "spectrum.weights=[-30]")
    analyser, found = analyse(stories, *settings, *overrides)
    config = analyser.config
    collection = collection_of(config)
    expected = plain_ndcg(config, collection, build_head(config, collection.corpus.encoder))
    sweep = found.spectra[0].sweep.set_index("weight")["ndcg"]
    assert sweep[0.0] == pytest.approx(expected, abs=1e-6)
    assert sweep.nunique() > 1


def test_an_lm_head_s_sweep_is_a_run_with_that_transform(analyse, stories, collection_of):
    """`harness run transform=pc1 transform.weight=λ`, where all documents were decomposed."""
    analyser, found = analyse(stories, "parts=[spectrum]")
    config = analyser.config
    collection = collection_of(config)
    for row in found.spectra[0].sweep.iloc[[1, 4, 8]].to_dict(orient="records"):
        config.transform = FirstComponentConfig(weight=row["weight"])
        head = build_head(config, collection.corpus.encoder)
        assert row["ndcg"] == pytest.approx(plain_ndcg(config, collection, head), abs=1e-6)


class Moved:
    """A ridge head read by hand: the unit embedding, λ of u_1 added, times the matrix."""

    def __init__(self, head, direction, weight):
        self._head, self._direction, self._weight = head, direction, weight

    def __getattr__(self, name):
        return getattr(self._head, name)

    def project(self, embeddings):
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        return (unit + self._weight * self._direction).astype(np.float32)


def test_a_ridge_head_is_moved_where_its_spectrum_is_measured(analyse, tiny_bert, collection_of):
    """hit and nDCG are of the same vectors, those that the matrix multiplies, and λ is theirs."""
    analyser, found = analyse(tiny_bert, "parts=[spectrum]", "head=ridge", "hit_k=1")
    config = analyser.config
    collection = collection_of(config)
    head = build_head(config, collection.corpus.encoder)
    head.fit(collection.corpus)
    vectors = collection.corpus.embeddings
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    first = np.linalg.svd(unit, full_matrices=False)[2][0]
    first *= np.sign((unit @ first).mean())
    sweep = found.spectra[0].sweep
    scores = []
    for row in sweep.to_dict(orient="records"):
        moved = Moved(head, first, row["weight"])
        scores.append(plain_ndcg(config, collection, moved))
    np.testing.assert_allclose(sweep["ndcg"], scores, atol=0.02)  # ties break by rounding
    assert np.isclose(sweep["ndcg"], scores, atol=1e-6).mean() > 0.8


def test_without_aligned_sparse_nothing_judges_lambda(analyse, tiny_llama):
    _, found = analyse(tiny_llama, "parts=[spectrum]", "retrieval=[dense]")
    assert found.spectra[0].sweep["ndcg"].isna().all()


def test_a_backbone_beside_its_embedder(analyse, tiny_llama, tiny_embedder, collection_of):
    analyser, found = analyse(tiny_embedder, "parts=[spectrum]", f"spectrum.backbone={tiny_llama}")
    spectrum = found.spectra[0]
    assert spectrum.backbone == "local/tiny-llama"
    assert found.model == "local/tiny-embedder"
    v_1 = spectrum.spectrum["variation"][0]
    assert (spectrum.sweep["v_1"] == v_1).all()
    assert v_1 == pytest.approx(spectrum.sweep["weight"], abs=abs(v_1) * 3)
    assert v_1 in spectrum.sweep["weight"].tolist()
    assert spectrum.adjusted["state"].unique().tolist() == ["backbone", "adjusted", "embedder"]
    # The embedder's tokens are read through the backbone's head.
    config = analyser.config
    collection = collection_of(config)
    backbone = parse_component(
        "model", {"kind": "huggingface", "path": str(tiny_llama)}, where="model"
    )
    vectors = collection.corpus.pooled[:1]
    from harness.embedding.model import EmbeddingModel

    matrix = EmbeddingModel(backbone).find_tensor(("lm_head.weight",)).read()
    rows = spectrum.adjusted.query("state == 'embedder'").head(10)
    np.testing.assert_allclose(rows["weight"], (matrix[rows["term"]] @ vectors[0]), atol=1e-4)
    # λ = 0 is the backbone's own retrieval.
    changed = Analyser(config).config
    changed.model.path = str(tiny_llama)
    own = collection_of(changed)
    expected = plain_ndcg(config, own, build_head(changed, own.corpus.encoder))
    sweep = spectrum.sweep.set_index("weight")["ndcg"]
    assert sweep[0.0] == pytest.approx(expected, abs=1e-6)


def test_a_head_without_a_matrix_has_no_spectrum(analyse, tiny_llama, refusal):
    message = refusal(lambda: analyse(tiny_llama, "head=whole_word", "parts=[spectrum]"))
    assert message == (
        "the spectrum is read through a head's matrix, which this head has not; choose "
        "head=lm_head, tied, mlm or ridge, or leave spectrum out of parts"
    )
    _, found = analyse(tiny_llama, "head=whole_word", "parts=[rates,tokens]")
    assert len(found.rates) == 6
    assert {"apple", "ball", "was"} < set(found.tokens["token"])


def test_a_sample_is_drawn_once_and_keeps_the_order(stories, analyze_config, encoder_of):
    encoder = encoder_of(analyze_config(stories))
    ids = [str(number) for number in range(40)]
    texts = encoder.texts(ids, [f"text {name}" for name in ids], "query")
    assert sampled(texts, 40, 0) is texts
    some = sampled(texts, 7, 0)
    assert len(some) == 7
    assert [int(name) for name in some.ids] == sorted({int(name) for name in some.ids})
    assert list(some.texts) == [f"text {name}" for name in some.ids]
    assert (some.side, some.encoder) == ("query", encoder)
    assert list(sampled(texts, 7, 0).ids) == list(some.ids)
    assert list(sampled(texts, 7, 1).ids) != list(some.ids)
