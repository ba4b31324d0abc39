"""Whether a result has its model's own settings, and what its experiment is called otherwise."""

import json

import mteb
import pytest
import yaml

from harness.reporting.mteb_models import OfficialModel
from harness.reporting.mteb_settings import experiment_name, is_published
from tests.reporting.mteb_repository import BGE, COMMIT, DENSE, SPARSE, shipped, write


@pytest.fixture(scope="module")
def configurations():
    return shipped("bge_small", "e5_mistral", "contriever_msmarco", "minilm")


@pytest.fixture
def published(tmp_path, configurations):
    """Whether a result that `write` writes has its model's own settings."""

    def ask(*overrides, files=None, task="SCIDOCS", own=configurations, **options):
        stored = write(tmp_path / "r", *overrides, task=task, **options)
        meta = mteb.get_model_meta(options.get("model", BGE))
        official = OfficialModel(meta, registered=True, reference=COMMIT, files=files)
        return is_published(stored, config_of(stored), mteb.get_task(task), official, own)

    return ask


def config_of(stored):
    return yaml.safe_load((stored.path.with_suffix("") / "config.yaml").read_text())


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), True),
        (("head=tied", "retrieval=[dense]", "tasks=beir", "backend.device=cpu"), True),
        (("model.path=DIR", "model.revision=null", "model.backbone=hub://a/b"), True),
        (("pooling=mean",), False),
        (("pooling=cls", "pooling.include_instruction=false"), False),
        (("instruction=none",), False),
        (("instruction.query='query: {text}'",), False),
        (("instruction.symmetric='query: {text}'",), False),
        (("model.max_length=256",), False),
        (("model.attention=causal",), False),
        (("model.adapters=[DIR]",), False),
        (("model.text_max_length=8",), False),
    ],
)
def test_a_shipped_configuration(published, overrides, expected):
    assert published("model=bge_small", *overrides) is expected


def test_the_mode_is_dense_with_the_models_similarity(published):
    assert published("model=bge_small", mode=DENSE)
    assert not published("model=bge_small", mode={"kind": "dense", "similarity": "dot"})
    assert not published("model=bge_small", mode=SPARSE)
    dot = {"kind": "dense", "similarity": "dot"}
    contriever = {"model": "facebook/contriever-msmarco"}
    assert published("model=contriever_msmarco", mode=dot, **contriever)
    assert not published("model=contriever_msmarco", mode=DENSE, **contriever)


def test_weights_are_float32_or_as_the_device_has_them(published):
    assert published("model=bge_small", "backend.dtype=float32")
    assert published("model=bge_small", dtype="bfloat16")
    assert not published("model=bge_small", "backend=fast", dtype="bfloat16")
    assert published("model=bge_small", "backend=fast", dtype="float32")


def test_the_instruction_is_the_tasks_own(published):
    """That of another task may be changed, that of an aggregate's part may not."""
    mistral = {"model": "intfloat/e5-mistral-7b-instruct"}
    changed = "++task_instructions.SciFact=Other"
    assert published("model=e5_mistral", **mistral)
    assert published("model=e5_mistral", changed, **mistral)
    assert not published("model=e5_mistral", changed, task="SciFact", **mistral)
    forum = "++task_instructions.CQADupstackTexRetrieval=Other"
    assert published("model=e5_mistral", task="CQADupstackRetrieval", **mistral)
    assert not published("model=e5_mistral", forum, task="CQADupstackRetrieval", **mistral)


@pytest.fixture
def folder(tmp_path, tiny_bert):
    """Writes a sentence-transformers folder that pools the first token."""

    def make(prompts=None):
        place = tmp_path / "model"
        (place / "1_Pooling").mkdir(parents=True, exist_ok=True)
        for file in tiny_bert.iterdir():
            (place / file.name).write_bytes(file.read_bytes())
        modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
        (place / "modules.json").write_text(
            json.dumps(
                [
                    {"idx": n, "name": str(n), "path": path, "type": f"{LIBRARY}.{kind}"}
                    for n, (path, kind) in enumerate(modules)
                ]
            )
        )
        pooling = {"word_embedding_dimension": 16, "pooling_mode_cls_token": True}
        (place / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        settings = {"prompts": prompts or {}, "similarity_fn_name": "cosine"}
        (place / "config_sentence_transformers.json").write_text(json.dumps(settings))
        return place

    return make


LIBRARY = "sentence_transformers.models"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
PLAIN = ("model=hf", f"model.name={MINILM}", "pooling=cls", "instruction=none")


def none(name):
    return []


def test_the_models_own_files(published, folder):
    plain = {"model": MINILM, "own": none}
    assert published(*PLAIN, files=folder(), **plain)
    assert not published(*PLAIN, "pooling=mean", files=folder(), **plain)
    assert not published(*PLAIN, "model.max_length=32", files=folder(), **plain)
    assert not published(*PLAIN, files=None, **plain)


def test_a_folder_that_says_nothing(published, tiny_bert):
    plain = {"model": MINILM, "own": none}
    assert not published(*PLAIN, "pooling=mean", files=tiny_bert, **plain)


def test_files_without_the_prompts_that_mteb_asks_for(published, folder):
    """mteb knows that BGE wants a prompt; its files have none."""
    bare = ("model=hf", f"model.name={BGE}", "pooling=cls", "instruction=none")
    assert not published(*bare, files=folder(), own=none)
    prompted = (*bare, "instruction.query='query: {text}'", "instruction.symmetric='{text}'")
    assert published(*prompted, files=folder({"query": "query: "}), own=none)


def test_files_and_a_shipped_configuration_that_differ(published, folder):
    """MiniLM is shipped with the mean; a folder that pools another token is not believed."""
    assert not published(*PLAIN, files=folder(), model=MINILM)
    shipped_alike = folder()
    (shipped_alike / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    mean = (*PLAIN, "pooling=mean")
    assert published(*mean, files=shipped_alike, model=MINILM)


def name(tmp_path, *overrides, **options):
    stored = write(tmp_path / "r", *overrides, **options)
    return experiment_name(stored, config_of(stored))


def test_a_name_is_the_configurations(tmp_path):
    plain = name(tmp_path, label="dense-cosine-cls")
    assert plain.rpartition("-")[0] == "dense-cosine-cls"
    assert len(plain.rpartition("-")[2]) == 12
    same = [
        name(tmp_path, task="NFCorpus"),
        name(tmp_path, task="STS17", places=[["test", "ko-ko"]]),
        name(tmp_path, of={"part": "0123"}),
        name(tmp_path, "model=bge_small", "++task_instructions.SCIDOCS=Unused"),
    ]
    assert set(same) == {plain}
    other = [
        name(tmp_path, weights="1" * 64),
        name(tmp_path, dtype="bfloat16"),
        name(tmp_path, mode={"kind": "dense", "similarity": "dot"}),
        name(tmp_path, head={"kind": "ridge"}),
        name(tmp_path, "model=bge_small", "instruction=none"),
        name(tmp_path, "model=bge_small", "instruction=e5_mistral"),
        name(
            tmp_path,
            *("model=bge_small", "instruction=e5_mistral", "++task_instructions.SCIDOCS=Used"),
        ),
    ]
    assert len({plain, *other}) == 8


def test_names_that_mteb_would_confuse_stay_apart(tmp_path):
    """mteb writes `_` for `:` and for `/`."""
    names = {
        name(tmp_path, "model=bge_small", f"instruction.query='{text}'")
        for text in ("a:{text}", "a/{text}", "a_{text}")
    }
    metas = [
        mteb.get_model_meta(BGE, experiment_kwargs={"harness": one}).experiment_name
        for one in names
    ]
    assert len(set(metas)) == 3
    assert {f"harness_{one}" for one in names} == set(metas)
