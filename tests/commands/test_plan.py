"""`harness plan` as a user calls it."""

import json
import sys

import pytest

from harness.cli import _main


@pytest.fixture
def harness(tmp_path, capfd, monkeypatch):
    """A command in this process and a folder of its own: status, standard output and error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)

    def harness(*arguments):
        capfd.readouterr()
        status = _main([*map(str, arguments)])
        return status, *capfd.readouterr()

    return harness


def rows(out):
    return {row["collection"]: row for row in map(json.loads, out.splitlines())}


def test_default(harness, tmp_path):
    status, out, err = harness("plan")
    assert (status, err) == (0, "")
    assert "MSMARCO" in out
    assert "8,841,823" in out
    assert "all 15" in out
    assert "extrapolated: 1,000,000,000 documents" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 110
    assert list(tmp_path.iterdir()) == []


def test_ms_marco_by_a_7b_embedder(harness):
    status, out, _ = harness(
        "plan", "shape=mistral_7b", "tasks.names=[MSMARCO]", "format=json", "extrapolate=null"
    )
    assert status == 0
    (row,) = map(json.loads, out.splitlines())
    # 8,841,661 texts of 76.62 tokens: 13.96 G of projections each, and 524,288 a pair of tokens.
    tokens = 335.79716603691344 / 4.5 + 2
    flops = 8_841_661 * (32 * 2 * 4096 * (2 * 4096 + 2 * 1024 + 3 * 14336) * tokens)
    flops += 8_841_661 * 32 * 4 * 4096 * tokens**2
    assert row["encode_flops"] == pytest.approx(flops, rel=1e-9)
    assert row["encode_hours"] == pytest.approx(flops / (0.4 * 989.4e12) / 3600, rel=1e-9)
    assert row["dense_index_bytes_float32"] == 8_841_823 * 4096 * 4
    # Six bytes for each of 256 postings a document, and 540 blocks of offsets for 32,000 lists.
    assert row["sparse_index_bytes_float32"] == (
        8_841_823 * 256 * 6 + 32_000 * 4 + (32_000 * 540 + 1) * 4
    )
    assert row["dense_scoring_flops_per_query"] == 2 * 4096 * 8_841_823
    assert row["sparse_encode_flops_per_query"] == 0
    assert row["break_even_queries"] > 0
    assert row["measured"] == []
    assert any("Zipf" in line for line in row["assumed"])


def test_settings_of_the_index(harness):
    own = ("documents=1000", "tokens=20", "extrapolate=null", "format=json")
    base = rows(harness("plan", *own)[1])["1,000 documents"]
    small = rows(harness("plan", *own, "retrieval.aligned_sparse.doc_top_k=8")[1])
    assert small["1,000 documents"]["sparse_index_bytes_uint8"] < (base["sparse_index_bytes_uint8"])
    expanded = rows(harness("plan", *own, "retrieval.aligned_sparse.query_expansion=8")[1])
    expanded = expanded["1,000 documents"]
    assert expanded["sparse_encode_flops_per_query"] == (
        base["dense_encode_flops_per_query"] + 2 * 384 * 30_522
    )
    assert expanded["sparse_touched_per_query"] > base["sparse_touched_per_query"]
    literal = rows(harness("plan", *own, "retrieval.aligned_sparse.scope=literal")[1])
    # A text of 20 tokens has 18 of its own.
    assert literal["1,000 documents"]["sparse_index_bytes_float32"] < 1000 * 18 * 6 + 30_522 * 8 + 8
    given = rows(harness("plan", *own, "shared_terms=3")[1])["1,000 documents"]
    assert given["sparse_touched_per_query"] == 3000
    uniform = rows(harness("plan", *own, "postings=uniform")[1])["1,000 documents"]
    assert uniform["sparse_touched_per_query"] == pytest.approx(1000 * 10 * 256 / 30_522)


def test_rates_of_this_machine_are_measured(harness, monkeypatch):
    from harness.cost import hardware
    from harness.evaluation import search_rates

    monkeypatch.setattr(hardware, "matmul_peak", lambda device, dtype: 5e9)
    monkeypatch.setattr(search_rates, "dense_rates", lambda width: (2e9 * width, 3e9))
    monkeypatch.setattr(search_rates, "sparse_rate", lambda: 4e6)
    status, out, _ = harness(
        *("plan", "documents=1000", "tokens=20", "hardware=machine", "searcher=machine"),
        *("backend.device=cpu", "format=json", "extrapolate=2000"),
    )
    assert status == 0
    found = rows(out)
    row = found["1,000 documents"]
    assert row["encode_flops_per_second"] == pytest.approx(0.4 * 5e9)
    assert row["dense_flops_per_second"] == 2e9 * 384
    assert (row["bytes_per_second"], row["postings_per_second"]) == (3e9, 4e6)
    assert [line.split(":")[0] for line in row["measured"]] == [
        "this machine",
        "search on this machine",
    ]
    assert found["extrapolated"]["encode_flops"] == pytest.approx(2 * row["encode_flops"])


def test_figures_of_a_real_run(harness, tmp_path):
    from tests.evaluation.conftest import write_folder

    folder = write_folder(tmp_path / "toy")
    own = ("tasks=folder", f"tasks.path={folder}", "backend.device=cpu")
    retrieval = "retrieval=[dense,aligned_sparse]"
    assert harness("run", *own, retrieval, "format=json")[0] == 0
    status, out, _ = harness(
        *("plan", *own, "postings=measured", "hardware.mfu=null", "format=json"),
        "extrapolate=null",
    )
    assert status == 0
    (row,) = map(json.loads, out.splitlines())
    assert row["basis"] == "counted"
    assert len(row["measured"]) == 3
    assert row["sparse_touched_per_query"] > 0
    # 6 documents of 384 numbers, as the run has them.
    assert row["dense_index_bytes_float32"] == 6 * 384 * 4


BAD = [
    ("documents=5", "tokens"),
    ("tokens=5", "documents"),
    ("queries=-1", "queries"),
    ("extrapolate=0", "extrapolate"),
    ("characters_per_token=0", "characters_per_token"),
    ("prompt_tokens=-1", "prompt_tokens"),
    ("length_variation=-1", "length_variation"),
    ("postings=magic", "zipf, uniform, measured"),
    ("zipf_exponent=9", "zipf_exponent"),
    ("shared_terms=-1", "shared_terms"),
    ("hardware=abacus", "h100"),
    ("hardware.mfu=40", "such as 0.4"),
    ("hardware.peak_flops=0", "peak_flops"),
    ("hardware.price_per_hour=-1", "price_per_hour"),
    ("searcher.batch=0", "batch"),
    ("searcher.bytes_per_second=-1", "bytes_per_second"),
    ("searcher=gpu", "machine"),
    ("shape=round", "mistral_7b"),
    ("shape=custom", "shape."),
    ("shape.layers=2", "shape=custom"),
    ("shape=mistral_7b shape.heads=7", "head_width"),
    ("shape=mistral_7b shape.layers=0", "layers"),
    ("retrieval=[dense,aligned_sparse,bm25]", "bm25"),
    ("retrieval=[dense]", "aligned_sparse"),
    ("postings=measured", "results"),
    ("hardware.mfu=null", "results"),
    ("model=local model.path=/nowhere", "shape=mistral_7b"),
    ("tasks.names=[NoSuchTask]", "NoSuchTask"),
    ("results_dir=", "results_dir is empty"),
    ("format=xml", "json"),
    ("sweep.plan=true", "sweep.plan"),
]


@pytest.mark.parametrize(("setting", "says"), BAD)
def test_bad_input(harness, tmp_path, setting, says):
    status, out, err = harness("plan", *setting.split())
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("harness: ")
    assert says in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_completion(harness, monkeypatch):
    monkeypatch.setenv("COMP_LINE", "harness plan hardware=")
    assert harness("-sc", "query=bash")[1].split() == [
        *("hardware=a100", "hardware=h100", "hardware=h200", "hardware=machine"),
    ]
