"""Wrong input of every kind: how it is prepared, the command it is given to, what is to be said."""

import json
import shutil
from pathlib import Path

TASK = ["tasks=folder", "tasks.path=toy", "cost=off", "retrieval=[bm25,dense]", "store_dir=store"]
MODEL = ["model=local", "model.path=model", "pooling=mean", "head=ridge", "backend.device=cpu"]
RUN = ["run", *TASK, *MODEL]
NEW = [*RUN, "results_dir=new", "store_dir=fresh"]
REGRESS = ["regress", *TASK, *MODEL, "baselines_dir=kept"]
INSPECT = ["inspect", "text=cat", *MODEL]
ANALYZE = ["analyze", "tasks=folder", "tasks.path=toy", *MODEL, "store_dir=store"]
COMPARE = ["compare", "run_a=dense", "run_b=bm25"]
TRAIN = [
    *("train", "train=mntp", "train.text=toy/queries.jsonl", "output=new", "device=cpu"),
    *("model=local", "model.path=model", "train.max_length=64"),
]
NEW_DECODER = ["train", "train=pretrain", "train.text=toy/queries.jsonl", "output=new"]


def replace(pattern, content):
    """Gives other content to the one file that a pattern finds: bytes, a text, a function, None."""

    def prepare():
        (path,) = Path().glob(pattern)
        old = path.read_bytes()
        path.unlink()
        new = content(old) if callable(content) else content
        if new is not None:
            path.write_bytes(new.encode() if isinstance(new, str) else new)

    return prepare


def config(**changes):
    return replace("model/config.json", lambda old: json.dumps(json.loads(old) | changes))


def weights(change):
    """Other tensors in the model's weights."""

    def prepare():
        from safetensors.torch import load_file, save_file

        tensors = load_file("model/model.safetensors")
        change(tensors)
        save_file(tensors, "model/model.safetensors", metadata={"format": "pt"})

    return prepare


def write(path, content=""):
    def prepare():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content.encode() if isinstance(content, str) else content)

    return prepare


def cut(old):
    return old[: len(old) // 2]


def flip_a_digit(old):
    """The last bit of the first digit after `ndcg_at_10`, so that what is left is JSON."""
    place = old.index(b'"ndcg_at_10": ') + len(b'"ndcg_at_10": ')
    return old[:place] + bytes([old[place] ^ 1]) + old[place + 1 :]


def poison(tensors):
    tensors["bert.embeddings.LayerNorm.weight"][0] = float("nan")


def lose(tensors):
    del tensors["bert.encoder.layer.0.output.dense.weight"]


def misshape(tensors):
    name = "bert.encoder.layer.0.output.dense.weight"
    tensors[name] = tensors[name][:, :7].clone()


def baseline(**changes):
    return replace("kept/**/*dense*.json", lambda old: json.dumps(json.loads(old) | changes))


DENSE = "results/local__*/*/experiments/dense-*/toy"
MODELS = {
    "no config": (replace("model/config.json", None), "config.json"),
    "config is cut": (replace("model/config.json", cut), "config.json"),
    "config is a list": (replace("model/config.json", "[]"), "config.json"),
    "config is no UTF-8": (replace("model/config.json", b"\xff\xfe{"), "config.json"),
    "config nests too deep": (replace("model/config.json", "[" * 100_000), "config.json"),
    "unknown family": (config(model_type="nonsense"), "nonsense"),
    "heads that do not divide": (config(num_attention_heads=3), "model"),
    "width that is a word": (config(hidden_size="wide"), "model"),
    "no weights": (replace("model/model.safetensors", None), "safetensors"),
    "empty weights": (replace("model/model.safetensors", ""), "safetensors"),
    "cut weights": (replace("model/model.safetensors", cut), "safetensors"),
    "weights of another kind": (replace("model/model.safetensors", b"PK\3\4" * 99), "safetensors"),
    "a tensor is missing": (weights(lose), "layer.0.output.dense.weight"),
    "a tensor of another shape": (weights(misshape), "layer.0.output.dense.weight"),
    "a tensor holds NaN": (weights(poison), "NaN"),
    "no tokenizer": (replace("model/tokenizer.json", None), "tokenizer"),
    "cut tokenizer": (replace("model/tokenizer.json", cut), "tokenizer"),
    "tokenizer settings are a list": (replace("model/tokenizer_config.json", "[]"), "tokenizer"),
    "modules that are none": (write("model/modules.json", "{}"), "modules.json"),
    "an unknown module": (
        write("model/modules.json", '[{"idx": 0, "name": "0", "path": "", "type": "a.b.C"}]'),
        "modules.json",
    ),
    "an index without its files": (
        write("model/model.safetensors.index.json", '{"weight_map": {"a": "../b.safetensors"}}'),
        "model.safetensors.index.json",
    ),
}
# The index counts only where there is no single file.
INDEXED = MODELS.pop("an index without its files")

FOLDERS = {
    "no corpus": (replace("toy/corpus.jsonl", None), "corpus.jsonl"),
    "no queries": (replace("toy/queries.jsonl", None), "queries.jsonl"),
    "no judgements": (replace("toy/qrels/test.tsv", None), "qrels"),
    "corpus is UTF-16": (
        replace("toy/corpus.jsonl", lambda old: old.decode().encode("utf-16")),
        "corpus.jsonl, line 1",
    ),
    "corpus is Latin-1": (
        replace("toy/corpus.jsonl", lambda old: old + '{"_id":"é","text":"é"}'.encode("latin-1")),
        "corpus.jsonl, line 7",
    ),
    "a line nests too deep": (replace("toy/corpus.jsonl", "[" * 100_000), "corpus.jsonl, line 1"),
    "a line is cut": (replace("toy/queries.jsonl", lambda old: old[:-9]), "queries.jsonl, line 4"),
    "a line is a list": (replace("toy/queries.jsonl", "[1]\n"), "queries.jsonl, line 1"),
    "a text is a number": (
        replace("toy/corpus.jsonl", '{"_id": "a", "text": 1e999}\n'),
        "corpus.jsonl, line 1",
    ),
    "half a surrogate pair": (
        replace("toy/queries.jsonl", '{"_id": "q1", "text": "\\ud800"}\n'),
        "queries.jsonl, line 1",
    ),
    "half a surrogate pair as id": (
        replace("toy/queries.jsonl", '{"_id": "\\udfff", "text": "a"}\n'),
        "queries.jsonl, line 1",
    ),
    "an id that is a list": (
        replace("toy/queries.jsonl", '{"_id": ["q1"], "text": "a"}\n'),
        "queries.jsonl, line 1",
    ),
    "two columns": (replace("toy/qrels/test.tsv", "query-id\tcorpus-id\nq1\tcats\n"), "test.tsv"),
    "a grade is a word": (
        replace("toy/qrels/test.tsv", lambda old: old + b"q1\tdogs\tgood\n"),
        "test.tsv, line 8",
    ),
    "a grade is infinite": (
        replace("toy/qrels/test.tsv", lambda old: old + b"q1\tdogs\tinf\n"),
        "test.tsv, line 8",
    ),
    "damaged gzip": (
        lambda: (
            Path("toy/corpus.jsonl").unlink(),
            write("toy/corpus.jsonl.gz", b"\x1f\x8b\x08rest")(),
        ),
        "corpus.jsonl",
    ),
}
FOLDERS["a folder is a file"] = (
    lambda: (shutil.rmtree("toy"), Path("toy").write_text("")),
    "toy",
)

RESULTS = {
    "result is cut": (replace(f"{DENSE}.json", cut), "delete"),
    "result nests too deep": (replace(f"{DENSE}.json", "[" * 100_000), "delete"),
    "a digit of a score is changed": (replace(f"{DENSE}.json", flip_a_digit), "delete"),
    "result is a list": (replace(f"{DENSE}.json", "[]"), "delete"),
    "result is no UTF-8": (replace(f"{DENSE}.json", b"\xff{}"), "delete"),
    "no experiment": (replace(f"{DENSE}/experiment.json", None), "delete"),
    "cost is a list": (replace(f"{DENSE}/cost.json", "[]"), "delete"),
    "a cost is changed": (
        replace(f"{DENSE}/cost.json", lambda old: old.replace(b'"queries": 4', b'"queries": 5')),
        "delete",
    ),
    "environment is cut": (replace(f"{DENSE}/environment.json", cut), "delete"),
    "checksums are cut": (replace(f"{DENSE}/digests.json", cut), "delete"),
}

BASELINES = {
    "is cut": (replace("kept/**/*dense*.json", cut), "update=true"),
    "is a list": (replace("kept/**/*dense*.json", "[]"), "update=true"),
    "is no UTF-8": (replace("kept/**/*dense*.json", b"\xff{}"), "update=true"),
    "nests too deep": (replace("kept/**/*dense*.json", "[" * 100_000), "update=true"),
    "is of a later format": (baseline(format=99), "update=true"),
    "is of other data": (baseline(data_revision="other"), "data revision"),
    "has no places": (baseline(places=7), "update=true"),
    "is none": (replace("kept/**/*dense*.json", None), "update=true"),
    "folder is a file": (
        lambda: (shutil.rmtree("kept"), Path("kept").write_text("")),
        "kept",
    ),
}

QUERIES = "toy/queries.jsonl"
TRAINING = {
    "a line is cut": (replace(QUERIES, lambda old: old[:-9]), TRAIN, "queries.jsonl, line 4"),
    "no text": (replace(QUERIES, '{"_id": "q1"}'), TRAIN, 'line 1: has no "text"'),
    "an empty text": (replace(QUERIES, '{"text": "a"}\n{"text": ""}'), TRAIN, "line 2"),
    "half a surrogate pair": (replace(QUERIES, '{"text": "\\ud800"}'), TRAIN, "line 1"),
    "an empty file": (replace(QUERIES, ""), TRAIN, "holds no texts"),
    "no file": (replace(QUERIES, None), TRAIN, "queries.jsonl is no file"),
    "too little text": (replace(QUERIES, '{"text": "a"}'), NEW_DECODER, "too few"),
    "an empty query": (
        write("pairs.jsonl", '{"query": "", "positive": "a"}'),
        [*TRAIN[:1], "train=contrastive", "train.pairs=pairs.jsonl", *TRAIN[3:]],
        'line 1: "query"',
    ),
    "another product": (
        write("new/training.json", '{"identity": {}}'),
        NEW_DECODER,
        "choose another output",
    ),
    "a damaged record": (write("new/training.json", "{"), NEW_DECODER, "remove new"),
    "a damaged checkpoint": (
        write("new/.checkpoint/state.safetensors", "none"),
        [*NEW_DECODER, "train.max_length=8"],
        "remove new/.checkpoint",
    ),
}

SETTINGS = [
    (["report", "threshold=nan"], "threshold"),
    (["report", "resamples=0"], "resamples"),
    (["report", "resamples=many"], "resamples"),
    (["report", "seed=-1"], "seed"),
    (["report", "published=/nowhere"], "/nowhere"),
    (["report", "published_models=all"], "published_models"),
    (["report", "results_dir=/nowhere"], "results_dir=/nowhere"),
    (["report", "results_dir=toy/corpus.jsonl"], "results_dir=toy/corpus.jsonl"),
    (["report", "leaderboards_dir=toy/corpus.jsonl/x"], "leaderboards_dir"),
    (["report", "nonsense=1"], "nonsense"),
    (["compare"], "run_a"),
    ([*COMPARE, "run_a=nonsense"], "nonsense"),
    ([*COMPARE, "run_a=dense", "run_b=dense"], "dense"),
    ([*COMPARE, "metric=nonsense"], "nonsense"),
    ([*COMPARE, "task=[nonsense]"], "nonsense"),
    ([*COMPARE, "top=-1"], "top"),
    ([*COMPARE, "format=papyrus"], "json"),
    ([*COMPARE, "html=toy/corpus.jsonl/x.html"], "html"),
    ([*COMPARE, "results_dir=/nowhere"], "/nowhere"),
    ([*REGRESS, "cost_tolerance=-1"], "cost_tolerance"),
    ([*REGRESS, "time_threshold=-1"], "time_threshold"),
    ([*REGRESS, "time_spread=nan"], "time_spread"),
    ([*REGRESS, "tolerances=[1]"], "tolerances"),
    (["export", "format=csv"], "mteb"),
    (["export", "task=[nonsense]"], "nonsense"),
    (["export", "results_dir=/nowhere"], "/nowhere"),
    (["export", "export_dir=toy/corpus.jsonl/x"], "export_dir"),
    (["inspect"], "text"),
    ([*INSPECT, "side=left"], "query"),
    ([*INSPECT, "top_k=0"], "top_k"),
    (["inspect", "text=cat", "models=[nonsense]"], "nonsense"),
    ([*INSPECT, "templates=[nonsense]"], "nonsense"),
    ([*INSPECT, "head=lm_head"], "LM head"),
    ([*ANALYZE, "parts=[nonsense]"], "parts"),
    ([*ANALYZE, "parts=[]"], "parts"),
    ([*ANALYZE, "texts=/nowhere"], "/nowhere"),
    ([*ANALYZE, "max_texts=0"], "max_texts"),
    ([*ANALYZE, "hit_k=0"], "hit_k"),
    ([*ANALYZE, "spectrum.components=0"], "components"),
    (["train", "train=mntp", *TRAIN[5:]], "train.text"),
    (TRAIN[:3], "model=local model.path=FOLDER"),
    (TRAIN, "not for bert"),
    ([*TRAIN, "train=nonsense"], "mntp"),
    ([*TRAIN, "train.kind=nonsense"], "train.kind"),
    ([*TRAIN, "train.mask_token=nonsense"], "train.mask_token"),
    ([*TRAIN, "train.mask_probability=1"], "mask_probability"),
    ([*TRAIN, "train.max_length=65"], "64 positions"),
    ([*TRAIN, "train.epochs=0"], "epochs"),
    ([*TRAIN, "train.dtype=float16"], "dtype"),
    ([*TRAIN, "train.text=/nowhere"], "/nowhere"),
    ([*TRAIN, "model.path=/nowhere"], "/nowhere"),
    ([*TRAIN, "device=tpu"], "device='tpu' is unknown"),
    ([*TRAIN, "output=''"], "output"),
    ([*TRAIN, "format=papyrus"], "json"),
    ([*NEW_DECODER, "train.heads=3"], "heads"),
    ([*NEW_DECODER, "train.vocabulary=9"], "vocabulary"),
    ([*NEW_DECODER, "train.attention=bidirectional"], "attention"),
    ([*NEW_DECODER, "train.max_length=8", "output=toy/corpus.jsonl"], "output=toy/corpus.jsonl"),
    ([*NEW_DECODER, "train.max_length=8", "output=toy/corpus.jsonl/x"], "output=toy/corpus"),
    ([*RUN, "tasks.path=toy", "tasks.max_documents=1"], "max_documents"),
    ([*RUN, "published=/nowhere"], "/nowhere"),
    ([*RUN, "head.regularisation=nan"], "regularisation"),
    ([*RUN, "model.adapters=[/nowhere]"], "/nowhere"),
    ([*RUN, "instruction=e5", "instruction.query='{text} {nonsense}'"], "nonsense"),
]
