"""Under which name and revision mteb knows a model of ours."""

import json

import mteb
import pytest

from harness.config import ModelConfig
from harness.embedding.model import EmbeddingModel
from harness.reporting.mteb_models import official_model
from tests.reporting.mteb_repository import BGE, COMMIT

OTHER = "d" * 40


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def experiment(tiny_bert):
    """An `experiment.json` of a model that is known by the content of the tiny BERT."""
    weights = EmbeddingModel(ModelConfig(path=str(tiny_bert))).weights_hash

    def make(name=BGE, revision=weights[:16]):
        encoder = {"query": {"weights": weights}}
        return {"model": name, "revision": revision, "settings": {"encoder": encoder}}

    return make


def model(**settings):
    return {"kind": "huggingface", "name": BGE, **settings}


def test_a_commit_is_what_it_is(hub, experiment):
    hub("unrelated/model", {})
    found = official_model(experiment(revision=OTHER), model())
    assert (found.meta.name, found.meta.revision) == (BGE, OTHER)
    assert (found.registered, found.reference, found.files) == (True, COMMIT, None)
    assert found.meta.embed_dim == 384
    assert found.meta.experiment_kwargs is None
    assert mteb.get_model_meta(BGE).revision == COMMIT


def test_a_commit_in_the_cache_has_its_files(hub, experiment, tiny_bert):
    snapshot = hub(BGE, files_of(tiny_bert), commit=OTHER)
    assert official_model(experiment(revision=OTHER), model()).files == snapshot


def test_content_is_found_in_the_cache(hub, experiment, tiny_bert):
    hub(BGE, {**files_of(tiny_bert), "config.json": b"{}"}, commit="a" * 40)
    snapshot = hub(BGE, files_of(tiny_bert), commit=OTHER)
    found = official_model(experiment(), model(path="elsewhere", revision="main"))
    assert (found.meta.revision, found.files) == (OTHER, snapshot)


def test_of_commits_with_the_same_content_it_is_mtebs(hub, experiment, tiny_bert):
    """A commit that changed a README alone leaves the content as it was."""
    for commit in ("0" * 40, COMMIT, "f" * 40):
        hub(BGE, {**files_of(tiny_bert), "README.md": commit.encode()}, commit=commit)
    assert official_model(experiment(), model()).meta.revision == COMMIT
    hub("org/own", files_of(tiny_bert), commit="f" * 40)
    hub("org/own", files_of(tiny_bert), commit="1" * 40)
    found = official_model(experiment("org/own"), model())
    assert (found.meta.name, found.meta.revision) == ("org/own", "1" * 40)
    assert (found.registered, found.reference) == (False, None)


@pytest.mark.parametrize("settings", [{}, {"adapters": ["somewhere"]}])
def test_content_that_no_commit_has(hub, experiment, refusal, tiny_bert, settings):
    content = {"config.json": b"{}"} if not settings else {}
    hub(BGE, {**files_of(tiny_bert), **content}, commit=COMMIT)
    message = refusal(lambda: official_model(experiment(), model(**settings)))
    assert message.startswith(f"{BGE} is known by the content of its weights, ")
    assert message.endswith(f"model.revision={COMMIT}, or fetch that commit into the hub cache")


def test_an_adapter_is_not_looked_up(hub, experiment, refusal, tiny_bert):
    """Its base model would be fetched from the hub."""
    adapter = json.dumps({"base_model_name_or_path": "org/base"}).encode()
    hub("org/own", {**files_of(tiny_bert), "adapter_config.json": adapter}, commit=COMMIT)
    message = refusal(lambda: official_model(experiment("org/own"), model()))
    assert "model.revision=COMMIT, or fetch" in message


@pytest.mark.parametrize("name", ["model", "a/b/c", "../model", "org/", "org name/model", "a/b\n"])
def test_names_that_are_none_of_the_hub(hub, experiment, refusal, name):
    message = refusal(lambda: official_model(experiment(name, OTHER), model()))
    assert message.endswith("is no ORGANISATION/MODEL of the hub")


def test_modes_without_a_model_are_of_mtebs_baseline():
    experiment = {"model": "baseline/bm25s", "revision": "0.3.16", "settings": {}}
    found = official_model(experiment, model())
    assert found.meta.name == "mteb/baseline-bm25s"
    assert found.meta.revision == found.reference == mteb.get_model_meta(found.meta.name).revision
