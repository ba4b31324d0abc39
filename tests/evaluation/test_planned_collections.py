"""The collections of a plan: published sizes, counted folders, given numbers."""

import pytest

from harness.config import parse
from harness.config.plan import PlanConfig
from harness.evaluation.planned_collections import planned_collections
from harness.evaluation.planned_model import planned_model
from tests.evaluation.conftest import DOCUMENTS, QUERIES


@pytest.fixture
def collections(tmp_path):
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder

    def make(*overrides):
        settings = [f"store_dir={tmp_path}/store", *overrides]
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            config = parse(PlanConfig, compose("plan", overrides=settings), where="")
        return planned_collections(config, planned_model(config))

    return make


def test_ms_marco_has_its_published_size(collections):
    (found,) = collections("tasks.names=[MSMARCO]")
    assert (found.name, found.basis, found.count, found.distinct) == (
        *("MSMARCO", "published"),
        *(8_841_823, 8_841_661),
    )
    # 335.80 characters of a passage, 33.26 of a query, 4.5 a token, two tokens around each.
    (documents,) = found.documents
    assert documents.terms == pytest.approx(335.797 / 4.5, rel=1e-5)
    assert documents.tokens == documents.terms + 2
    assert (found.query.texts, found.query.tokens) == (6_980, pytest.approx(33.26218 / 4.5 + 2))


def test_beir_when_nothing_is_named(collections):
    found = collections()
    assert len(found) == 15
    assert sum(one.count for one in found) == 33_860_495
    assert [one.name for one in found][-1] == "MSMARCO"
    forums = next(one for one in found if one.name == "CQADupstackRetrieval")
    assert (len(forums.documents), forums.count, forums.query.texts) == (12, 457_199, 13_145)


def test_texts_are_cut_and_echoed(collections):
    names = "tasks.names=[MSMARCO]"
    (plain,) = collections(names)
    assert plain.documents[0].tokens < 256
    (cut,) = collections(names, "model.max_length=32")
    assert (cut.documents[0].tokens, cut.documents[0].terms) == (32, 30)
    (echoed,) = collections(names, "pooling=echo", "model.max_length=32")
    assert (echoed.documents[0].tokens, echoed.documents[0].terms) == (32, 15)
    (other,) = collections(names, "characters_per_token=9", "prompt_tokens=0")
    assert other.documents[0].tokens == pytest.approx((plain.documents[0].tokens - 2) / 2)


def test_a_folder_is_counted(collections, toy_folder):
    (found,) = collections("tasks=folder", f"tasks.path={toy_folder}")
    texts = [f"{title} {text}".strip() for _, title, text in DOCUMENTS]
    assert (found.basis, found.count, found.query.texts) == ("counted", 6, len(QUERIES))
    mean = sum(map(len, texts)) / 6
    assert found.documents[0].terms == pytest.approx(mean / 4.5, rel=0.02)


def test_given_numbers(collections):
    (found,) = collections("documents=5000", "tokens=100", "query_tokens=9")
    assert (found.basis, found.count, found.distinct) == ("given", 5000, 5000)
    assert (found.documents[0].tokens, found.documents[0].terms) == (100, 98)
    assert (found.query.tokens, found.query.terms) == (9, 7)
    (cut,) = collections("documents=5000", "tokens=1000")
    assert cut.documents[0].tokens == 256


def test_what_ranks_nothing_is_left_out(collections, refusal, capsys):
    (found,) = collections("tasks.names=[STSBenchmark,SciFact]")
    assert found.name == "SciFact"
    assert capsys.readouterr().err == "left out: STSBenchmark ranks no documents\n"
    says = refusal(lambda: collections("tasks.names=[STSBenchmark]"))
    assert "documents=1000000 tokens=120" in says
