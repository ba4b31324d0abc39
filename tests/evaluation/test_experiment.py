"""What an experiment is called and what its hash covers."""

import hashlib
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import (
    AlignedSparseConfig,
    Bm25Config,
    DenseConfig,
    FaissHnswConfig,
    FaissIvfConfig,
    HybridConfig,
    LmHeadConfig,
    MeanPoolingConfig,
    NoTransformConfig,
    SeismicConfig,
)
from harness.errors import BadInputError
from harness.evaluation.experiment import encoder_settings, experiments, settings_hash

BM25S = version("bm25s")


class Encoder:
    """An encoder of which only what decides its embeddings is known."""

    def __init__(self, *, normalize=True, **space):
        self.model = SimpleNamespace(name="org/model", revision="abc", normalize=normalize)
        self._space = {"weights": "w", **space}

    def space(self, side):
        return {"side": side, **self._space}


class Head:
    def __init__(self, name="h"):
        self.name = name

    def identity(self):
        return {"name": self.name}


def configured(modes):
    return SimpleNamespace(
        retrieval=modes,
        pooling=MeanPoolingConfig(),
        transform=NoTransformConfig(),
        head=LmHeadConfig(),
    )


def found(modes, *, encoder=None, head=None, data=None):
    added = {mode: {"data": data} for mode in modes} if data else None
    config = configured(modes)
    return experiments(config, encoder or Encoder(), head or Head(), task=added)


FOUR = {
    "dense": DenseConfig(similarity="cosine"),
    "aligned_sparse": AlignedSparseConfig(),
    "hybrid": HybridConfig(),
    "bm25": Bm25Config(),
}


def test_every_mode_is_filed_under_what_decides_its_scores():
    four = found(FOUR)
    assert {mode: (one.mode, one.model, one.revision) for mode, one in four.items()} == {
        "dense": ("dense", "org/model", "abc"),
        "aligned_sparse": ("aligned_sparse", "org/model", "abc"),
        "hybrid": ("hybrid", "org/model", "abc"),
        "bm25": ("bm25", "baseline/bm25s", BM25S),
    }
    encoder = {side: {"side": side, "weights": "w"} for side in ("query", "document", "symmetric")}
    dense, bm25 = FOUR["dense"].scored(), FOUR["bm25"].scored()
    assert {mode: one.settings for mode, one in four.items()} == {
        "dense": {"version": 1, "mode": dense, "encoder": encoder, "normalize": True},
        "aligned_sparse": {
            "version": 1,
            "mode": FOUR["aligned_sparse"].scored(),
            "encoder": encoder,
            "head": {"name": "h"},
        },
        "hybrid": {
            "version": 1,
            "mode": FOUR["hybrid"].scored(),
            "parts": {"dense": dense, "bm25": bm25},
            "bm25s": BM25S,
            "encoder": encoder,
            "normalize": True,
        },
        "bm25": {"version": 1, "mode": bm25, "bm25s": BM25S},
    }


def test_folders_can_be_read():
    names = {mode: one.folder.rpartition("-")[0] for mode, one in found(FOUR).items()}
    assert names == {
        "dense": "dense-cosine-mean",
        "aligned_sparse": "aligned_sparse-k256-m0-log1p-l2-idf-mean-lm_head",
        "hybrid": "hybrid-minmax-dense+bm25-mean",
        "bm25": "bm25-k1.5-b0.75",
    }
    for one in found(FOUR).values():
        assert one.folder.rpartition("-")[2] == settings_hash(one.settings)


def test_a_mode_of_another_name_shows_it_and_has_the_same_hash():
    renamed = found({"../my mode": FOUR["dense"]})["../my mode"]
    assert renamed.mode == "../my mode"
    digits = found(FOUR)["dense"].folder.rpartition("-")[2]
    assert renamed.folder == f"my-mode-dense-cosine-mean-{digits}"


def test_a_long_label_is_cut_and_the_hash_is_whole():
    modes = dict.fromkeys(("a" * 60, "b" * 60), FOUR["dense"])
    modes["hybrid"] = HybridConfig(modes=list(modes))
    folder = found(modes)["hybrid"].folder
    label, _, digits = folder.rpartition("-")
    assert len(label) == 80
    assert len(digits) == 12


CHANGES = {
    "the data": ({"data": "other"}, set(FOUR)),
    "a template of pairs": (
        {"encoder": Encoder(template="x")},
        {"dense", "aligned_sparse", "hybrid"},
    ),
    "normalising": ({"encoder": Encoder(normalize=False)}, {"dense", "hybrid"}),
    "the head": ({"head": Head("other")}, {"aligned_sparse"}),
    "a part of the fusion": (
        {"modes": FOUR | {"bm25": Bm25Config(k1=1.2)}},
        {"bm25", "hybrid"},
    ),
    "a mode of no fusion": (
        {"modes": FOUR | {"aligned_sparse": AlignedSparseConfig(doc_top_k=64)}},
        {"aligned_sparse"},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_a_score_changes_the_folder(change):
    changed, modes = CHANGES[change]
    before, after = found(FOUR), found(**{"modes": FOUR, **changed})
    assert {mode for mode in FOUR if before[mode].folder != after[mode].folder} == modes


def test_only_the_symmetric_side_need_differ():
    class Other(Encoder):
        def space(self, side):
            return super().space(side) | ({"prompt": "x"} if side == "symmetric" else {})

    assert found(FOUR)["dense"].folder != found(FOUR, encoder=Other())["dense"].folder
    assert list(encoder_settings(Other())) == ["query", "document", "symmetric"]


def test_a_fusion_of_embeddings_reads_their_head():
    modes = FOUR | {"hybrid": HybridConfig(modes=["dense", "aligned_sparse"])}
    one = found(modes)["hybrid"]
    assert one.settings["head"] == {"name": "h"}
    assert one.settings["normalize"] is True
    assert "bm25s" not in one.settings
    assert one.folder.startswith("hybrid-minmax-dense+aligned_sparse-mean-lm_head-")


def test_a_fusion_of_words_needs_no_model():
    modes = {"bm25": Bm25Config(), "other": Bm25Config(k1=1.2)}
    modes["hybrid"] = HybridConfig(modes=["bm25", "other"])
    one = found(modes)["hybrid"]
    assert (one.model, one.revision) == ("baseline/bm25s", BM25S)
    assert set(one.settings) == {"version", "mode", "parts", "bm25s"}


APPROXIMATE = {
    "faiss_hnsw": FaissHnswConfig(similarity="cosine"),
    "faiss_ivf": FaissIvfConfig(nlist=9),
    "seismic": SeismicConfig(),
}


def test_approximate_modes_are_what_they_approximate_with_settings_and_an_engine():
    exact, found_ = found(FOUR), found(FOUR | APPROXIMATE)
    for mode, like, library in (
        ("faiss_hnsw", "dense", "faiss-cpu"),
        ("faiss_ivf", "dense", "faiss-cpu"),
        ("seismic", "aligned_sparse", "pyseismic-lsr"),
    ):
        added = {"mode": APPROXIMATE[mode].scored(), library: version(library)}
        assert found_[mode].settings == exact[like].settings | added
    names = {mode: found_[mode].folder.rpartition("-")[0] for mode in APPROXIMATE}
    assert names == {
        "faiss_hnsw": "faiss_hnsw-cosine-m32-ef128-mean",
        "faiss_ivf": "faiss_ivf-auto-nlist9-nprobe32-mean",
        "seismic": "seismic-k256-m0-log1p-l2-idf-cut10-heap0.8-mean-lm_head",
    }


@pytest.mark.parametrize(
    ("mode", "changed"),
    [
        *(("faiss_hnsw", {name: 77}) for name in ("m", "ef_construction", "ef_search", "seed")),
        *(("faiss_ivf", {name: 77}) for name in ("nlist", "nprobe", "seed")),
        *(("seismic", {name: 77}) for name in ("n_postings", "min_cluster_size", "query_cut")),
        *(("seismic", {name: 0.7}) for name in ("centroid_fraction", "summary_energy")),
        ("seismic", {"heap_factor": 0.7}),
        ("seismic", {"max_fraction": 2}),
        ("seismic", {"doc_top_k": 64}),
    ],
)
def test_every_setting_of_an_engine_changes_the_folder(mode, changed):
    other = type(APPROXIMATE[mode])(**changed)
    before, after = (found({mode: config})[mode] for config in (type(other)(), other))
    assert before.folder.rpartition("-")[2] != after.folder.rpartition("-")[2]


def test_an_engine_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(FaissIvfConfig, "library", "no-such-engine")
    with pytest.raises(BadInputError, match="pip install no-such-engine"):
        found(APPROXIMATE)


def test_a_fusion_of_approximate_modes_reads_what_they_read():
    modes = APPROXIMATE | {"hybrid": HybridConfig(modes=["faiss_ivf", "seismic"])}
    settings = found(modes)["hybrid"].settings
    assert settings["normalize"] is True
    assert settings["head"] == {"name": "h"}
    assert {"faiss-cpu", "pyseismic-lsr"} < set(settings)


def test_a_task_adds_to_the_settings_of_its_modes():
    config = configured(FOUR)
    added = {"bm25": {"data": "hash"}, "dense": {"places": [["test", "en"]]}}
    one = experiments(config, Encoder(), Head(), task=added)
    plain = found(FOUR)
    assert one["bm25"].settings == plain["bm25"].settings | {"data": "hash"}
    assert one["dense"].settings == plain["dense"].settings | {"places": [["test", "en"]]}
    assert one["hybrid"] == plain["hybrid"]


def test_the_hash_is_of_canonical_json():
    canonical = b'{"a": [1, null], "b": "\\u00fc"}'
    expected = hashlib.sha256(canonical).hexdigest()[:12]
    assert settings_hash({"b": "ü", "a": [1, None]}) == expected
    with pytest.raises(ValueError, match="not JSON compliant"):
        settings_hash({"a": float("nan")})


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), PLAIN, max_size=5), st.randoms())
def test_the_order_of_settings_does_not_matter(settings, random):
    keys = list(settings)
    random.shuffle(keys)
    assert settings_hash({key: settings[key] for key in keys}) == settings_hash(settings)
