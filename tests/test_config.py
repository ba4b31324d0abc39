"""Settings: what is refused and how, what counts as identity, and that every YAML file composes."""

import dataclasses
import importlib
import json
from pathlib import Path
from typing import ClassVar, get_args

import pytest
from hydra import compose, initialize_config_dir
from mteb.abstasks.task_metadata import TaskType
from omegaconf import OmegaConf

import harness.config
from harness.components import _COMPONENTS, component, unscored
from harness.config import (
    ComponentConfig,
    CostConfig,
    HybridConfig,
    MeanPoolingConfig,
    ReportConfig,
    RunConfig,
    TasksConfig,
    TransformersBackendConfig,
    build,
    identity,
    parse,
    parse_component,
)
from harness.config.evaluation import TASK_TYPES
from harness.config.training_steps import StepConfig

CONF = Path(__file__).parent.parent / "conf"
MAINS = sorted(file.stem for file in CONF.glob("*.yaml") if file.stem != "hydra_settings")


BAD = [
    ("model", "huggingface", {}, "model.name"),
    ("model", "huggingface", {"name": "", "path": ""}, "model.name"),
    ("model", "huggingface", {"path": "x", "max_length": 7}, "model.max_length"),
    ("model", "huggingface", {"path": "x", "max_length": "long"}, "model.max_length"),
    ("model", "huggingface", {"path": "x", "max_length": 12.5}, "model.max_length"),
    ("model", "huggingface", {"path": "x", "normalize": "maybe"}, "model.normalize"),
    ("model", "huggingface", {"path": "x", "trust_remote_code": None}, "model.trust_remote_code"),
    ("model", "huggingface", {"path": ["x"]}, "model.path"),
    ("model", "huggingface", {"path": "x", "revison": "a"}, "model.revison"),
    ("pooling", "mean", {"include_instruction": "some"}, "pooling.include_instruction"),
    ("pooling", "weighted_mean", {"weight": 1}, "pooling.weight"),
    ("pooling", "last_token", {"include_instruction": None}, "pooling.include_instruction"),
    ("pooling", "cls", {"include_instruction": []}, "pooling.include_instruction"),
    ("pooling", "auto", {"include_instruction": True}, "pooling.include_instruction"),
    ("pooling", "max", {"include_instruction": "no one"}, "pooling.include_instruction"),
    ("pooling", "eos", {"token": "</s>"}, "pooling.token"),
    ("pooling", "bos", {"include_instruction": False}, "pooling.include_instruction"),
    ("pooling", "echo", {"include_instruction": True}, "pooling.include_instruction"),
    ("pooling", "echo", {"of": "cls"}, "pooling.of"),
    ("pooling", "splade", {"activation": "tanh"}, "pooling.activation"),
    ("model", "huggingface", {"path": "x", "attention": "both"}, "model.attention"),
    ("model", "huggingface", {"path": "x", "adapters": ["a", ""]}, "model.adapters"),
    ("model", "huggingface", {"path": "x", "adapters": [3]}, "model.adapters"),
    ("model", "huggingface", {"path": "x", "text_max_length": 0}, "model.text_max_length"),
    ("model", "huggingface", {"path": "x", "similarity": "euclid"}, "model.similarity"),
    ("instruction", "template", {"query": "no place"}, "instruction.query"),
    ("instruction", "auto", {"query": "{text}"}, "instruction.query"),
    ("instruction", "template", {"query": "{text} {text} {text}"}, "instruction.query"),
    ("instruction", "template", {"query": "{instruction}{instruction}{text}"}, "instruction.query"),
    ("instruction", "template", {"symmetric": "no place"}, "instruction.symmetric"),
    ("instruction", "template", {"query": "see {txt}: {text}"}, "holds {txt}"),
    ("model", "huggingface", {"path": "x", "text_cut": "letters"}, "model.text_cut"),
    ("instruction", "template", {"uninstructed": "{instruction} {text}"}, "uninstructed"),
    ("instruction", "template", {"join": "bytes"}, "instruction.join"),
    ("instruction", "template", {"locate": "guess"}, "instruction.locate"),
    ("instruction", "template", {"strip": "start"}, "instruction.strip"),
    ("instruction", "template", {"document": ""}, "instruction.document"),
    ("instruction", "template", {"document": "line\n{txt}"}, "instruction.document"),
    ("instruction", "template", {"document": None}, "instruction.document"),
    ("head", "lm_head", {"normalize": "l2"}, "head.normalize"),
    ("head", "tied", {"path": {"a": 1}}, "head.path"),
    ("head", "mlm", {"normalize": "l2"}, "head.normalize"),
    ("head", "identity", {"path": "x"}, "head.path"),
    ("head", "auto", {"path": "x"}, "head.path"),
    ("head", "ridge", {"regularisation": 0}, "head.regularisation"),
    ("head", "ridge", {"regularisation": -1}, "head.regularisation"),
    ("head", "ridge", {"regularisation": "nan"}, "head.regularisation"),
    ("head", "ridge", {"regularisation": "inf"}, "head.regularisation"),
    ("head", "ridge", {"regularisation": "aic"}, "self_retrieval, loo, gcv"),
    ("head", "ridge", {"regularisation": True}, "head.regularisation"),
    ("head", "ridge", {"target": "counts"}, "head.target"),
    ("head", "ridge", {"unit": "letter"}, "head.unit"),
    ("head", "ridge", {"stemmer": "english"}, "head.stemmer"),
    ("head", "ridge", {"min_documents": 0}, "head.min_documents"),
    ("head", "ridge", {"seed": -1}, "head.seed"),
    ("head", "whole_word", {"of": {"kind": "tied"}, "forms": "mean"}, "head.forms"),
    ("head", "compressed", {"of": {"kind": "tied"}, "rank": 0}, "head.rank"),
    ("transform", "none", {"weight": 1}, "transform.weight"),
    ("transform", "center", {"components": 1}, "transform.components"),
    ("transform", "all_but_top", {"components": 0}, "transform.components"),
    ("transform", "pc1", {}, "transform.weight"),
    ("transform", "pc1", {"weight": 1, "reference": "x"}, "transform.reference"),
    ("transform", "pc1", {"weight": "inf"}, "transform.weight"),
    ("transform", "embed_filter", {"drop": 0}, "transform.drop"),
    ("transform", "embed_filter", {"keep": 0}, "transform.keep"),
    ("retrieval", "dense", {"similarity": "euclid"}, "retrieval.similarity"),
    ("retrieval", "aligned_sparse", {"doc_top_k": 0}, "retrieval.doc_top_k"),
    ("retrieval", "aligned_sparse", {"doc_top_k": True}, "retrieval.doc_top_k"),
    ("retrieval", "aligned_sparse", {"query_expansion": -1}, "retrieval.query_expansion"),
    ("retrieval", "aligned_sparse", {"doc_weight": "square"}, "retrieval.doc_weight"),
    ("retrieval", "aligned_sparse", {"doc_norm": "l1"}, "retrieval.doc_norm"),
    ("retrieval", "aligned_sparse", {"query_weight": "tf"}, "retrieval.query_weight"),
    ("retrieval", "aligned_sparse", {"scope": "all"}, "retrieval.scope"),
    ("retrieval", "aligned_sparse", {"literal_share": 1}, "retrieval.literal_share"),
    ("retrieval", "aligned_sparse", {"literal_share": "nan"}, "retrieval.literal_share"),
    ("retrieval", "aligned_sparse", {"drop_special": "no way"}, "retrieval.drop_special"),
    ("retrieval", "hybrid", {"modes": ["dense"]}, "retrieval.modes"),
    ("retrieval", "hybrid", {"modes": "dense"}, "retrieval.modes"),
    ("retrieval", "hybrid", {"modes": ["dense", "dense"]}, "retrieval.modes"),
    ("retrieval", "hybrid", {"fusion": "max"}, "retrieval.fusion"),
    ("retrieval", "hybrid", {"depth": 0}, "retrieval.depth"),
    ("retrieval", "hybrid", {"rrf_k": -1}, "retrieval.rrf_k"),
    ("retrieval", "hybrid", {"rrf_k": "inf"}, "retrieval.rrf_k"),
    ("retrieval", "hybrid", {"weights": [1]}, "retrieval.weights"),
    ("retrieval", "hybrid", {"weights": [1, -1]}, "retrieval.weights"),
    ("retrieval", "hybrid", {"weights": [0, 0]}, "retrieval.weights"),
    ("retrieval", "hybrid", {"weights": [1, "nan"]}, "retrieval.weights"),
    ("retrieval", "bm25", {"k1": -0.1}, "retrieval.k1"),
    ("retrieval", "bm25", {"k1": "nan"}, "retrieval.k1"),
    ("retrieval", "bm25", {"b": 1.1}, "retrieval.b"),
    ("retrieval", "bm25", {"b": "nan"}, "retrieval.b"),
    ("retrieval", "bm25", {"method": "okapi"}, "retrieval.method"),
    ("retrieval", "bm25", {"stopwords": "klingon"}, "retrieval.stopwords"),
    ("retrieval", "faiss_hnsw", {"similarity": "l2"}, "retrieval.similarity"),
    ("retrieval", "faiss_hnsw", {"m": 1}, "retrieval.m"),
    ("retrieval", "faiss_hnsw", {"ef_construction": 0}, "retrieval.ef_construction"),
    ("retrieval", "faiss_hnsw", {"ef_search": 0}, "retrieval.ef_search"),
    ("retrieval", "faiss_hnsw", {"seed": -1}, "retrieval.seed"),
    ("retrieval", "faiss_ivf", {"similarity": "l2"}, "retrieval.similarity"),
    ("retrieval", "faiss_ivf", {"nlist": 0}, "retrieval.nlist"),
    ("retrieval", "faiss_ivf", {"nprobe": 0}, "retrieval.nprobe"),
    ("retrieval", "faiss_ivf", {"seed": -1}, "retrieval.seed"),
    ("retrieval", "seismic", {"doc_top_k": 0}, "retrieval.doc_top_k"),
    ("retrieval", "seismic", {"doc_weight": "raw"}, "retrieval.doc_weight"),
    ("retrieval", "seismic", {"n_postings": 0}, "retrieval.n_postings"),
    ("retrieval", "seismic", {"centroid_fraction": 1.1}, "retrieval.centroid_fraction"),
    ("retrieval", "seismic", {"min_cluster_size": 0}, "retrieval.min_cluster_size"),
    ("retrieval", "seismic", {"summary_energy": "nan"}, "retrieval.summary_energy"),
    ("retrieval", "seismic", {"max_fraction": 0.9}, "retrieval.max_fraction"),
    ("retrieval", "seismic", {"query_cut": 0}, "retrieval.query_cut"),
    ("retrieval", "seismic", {"heap_factor": 0}, "retrieval.heap_factor"),
    ("backend", "transformers", {"dtype": "int8"}, "backend.dtype"),
    ("backend", "transformers", {"token_budget": 0}, "backend.token_budget"),
    ("backend", "transformers", {"attention": None}, "backend.attention"),
    ("backend", "transformers", {"padding_side": "both"}, "backend.padding_side"),
    ("backend", "vllm", {"dtype": "int8"}, "backend.dtype"),
    ("backend", "vllm", {"tensor_parallel_size": 0}, "backend.tensor_parallel_size"),
    ("backend", "vllm", {"data_parallel_size": 0}, "backend.data_parallel_size"),
    ("backend", "vllm", {"gpu_memory_utilization": 1.1}, "backend.gpu_memory_utilization"),
    ("backend", "vllm", {"gpu_memory_utilization": 0}, "backend.gpu_memory_utilization"),
    ("backend", "vllm", {"max_model_len": 1}, "backend.max_model_len"),
    ("backend", "vllm", {"enforce_eager": "often"}, "backend.enforce_eager"),
    ("backend", "ray", {"workers": 0}, "backend.workers"),
    ("backend", "ray", {"address": ""}, "backend.address"),
    ("backend", "ray", {"shard_documents": 0}, "backend.shard_documents"),
    ("train", "pretrain", {}, "train.text"),
    ("train", "pretrain", {"text": "x", "heads": 3}, "heads=3"),
    ("train", "pretrain", {"text": "x", "heads": 256}, "heads=256"),
    ("train", "pretrain", {"text": "x", "vocabulary": 260}, "train.vocabulary"),
    ("train", "pretrain", {"text": "x", "max_length": 513}, "train.max_length"),
    ("train", "pretrain", {"text": "x", "lora_rank": 1}, "train.lora_rank"),
    ("train", "pretrain", {"text": "x", "attention": "bidirectional"}, "train.attention"),
    ("train", "mntp", {"text": "x", "mask_probability": 0}, "train.mask_probability"),
    ("train", "mntp", {"text": "x", "hidden_share": 0.95}, "hidden_share=0.95"),
    ("train", "mntp", {"text": "x", "embedding_rate": 0}, "train.embedding_rate"),
    ("train", "mntp", {"text": "x", "optimiser": "sgd"}, "optimiser='sgd'"),
    ("train", "pretrain", {"text": "x", "embedding_deviation": 0}, "embedding_deviation=0"),
    ("train", "contrastive", {"pairs": "x", "mntp_texts": 0}, "train.mntp_texts"),
    ("train", "contrastive", {"pairs": "x", "mntp_weight": -1}, "train.mntp_weight"),
    ("train", "mntp", {"text": "x", "attention": "both"}, "train.attention"),
    ("train", "mntp", {"text": "x", "learning_rate": 0}, "train.learning_rate"),
    ("train", "mntp", {"text": "x", "epochs": "nan"}, "train.epochs"),
    ("train", "mntp", {"text": "x", "warmup": 1}, "train.warmup"),
    ("train", "mntp", {"text": "x", "held_out": 1}, "train.held_out"),
    ("train", "mntp", {"text": "x", "clip": 0}, "train.clip"),
    ("train", "mntp", {"text": "x", "lora_rank": -1}, "train.lora_rank"),
    ("train", "mntp", {"text": "x", "batch_tokens": 7}, "train.batch_tokens"),
    ("train", "mntp", {"text": "x", "validate_every": 0}, "train.validate_every"),
    ("train", "mntp", {"text": "x", "checkpoint_seconds": -1}, "train.checkpoint_seconds"),
    ("train", "mntp", {"text": "x", "dtype": "float16"}, "train.dtype"),
    ("train", "mntp", {"text": "x", "save_dtype": "int8"}, "train.save_dtype"),
    ("train", "simcse", {"text": "x", "dropout": 0}, "train.dropout"),
    ("train", "simcse", {"text": "x", "temperature": 0}, "train.temperature"),
    ("train", "simcse", {"text": "x", "batch_size": 1}, "train.batch_size"),
    ("train", "simcse", {"text": "x", "batch_tokens": 64}, "train.batch_tokens: a batch"),
    ("train", "contrastive", {"pairs": "x", "pooling": "max"}, "train.pooling"),
    ("train", "contrastive", {"pairs": "x", "negatives": -1}, "train.negatives"),
    ("train", "contrastive", {"pairs": "x", "query_max_length": 3}, "train.query_max_length"),
    ("train", "contrastive", {"pairs": "x", "chunk_tokens": 0}, "train.chunk_tokens"),
    ("train", "stages", {"stages": {}}, "train.stages"),
]


class TestComponents:
    @pytest.mark.parametrize(("group", "kind", "values", "setting"), BAD)
    def test_bad_value(self, group, kind, values, setting, refusal):
        mapping = {"kind": kind, **values}
        for form in (mapping, OmegaConf.create(mapping)):
            assert setting in refusal(lambda form=form: parse_component(group, form, where=group))

    def test_every_component_has_a_bad_case(self):
        known = {(group, kind) for group, kinds in _COMPONENTS.items() for kind in kinds}
        assert {(group, kind) for group, kind, *_ in BAD} == known

    @pytest.mark.parametrize("kind", ["median", None, 3, ["mean"], {"mean": 1}, ""])
    def test_unknown_kind(self, kind, refusal):
        message = refusal(lambda: parse_component("pooling", {"kind": kind}, where="pooling"))
        assert "pooling.kind" in message
        assert "auto, mean, weighted_mean, max, last_token, eos, cls, bos, echo, splade" in message

    @pytest.mark.parametrize("mapping", ["mean", None, ["mean"], 3])
    def test_no_mapping(self, mapping, refusal):
        assert "pooling.kind" in refusal(
            lambda: parse_component("pooling", mapping, where="pooling")
        )

    def test_good_values_arrive_typed(self):
        mapping = {"kind": "hybrid", "modes": ["a", "b"], "weights": [1, 2], "rrf_k": 10}
        parsed = parse_component("retrieval", OmegaConf.create(mapping), where="x")
        assert parsed == HybridConfig(modes=["a", "b"], weights=[1.0, 2.0], rrf_k=10.0)
        assert type(parsed.weights) is list

    def test_norm_may_be_a_yaml_truth(self):
        for value, norm in ((True, "l2"), (False, "none"), ("l2", "l2")):
            mapping = {"kind": "aligned_sparse", "doc_norm": value}
            parsed = parse_component("retrieval", mapping, where="retrieval")
            assert parsed.doc_norm == norm

    @pytest.mark.parametrize(
        ("group", "kind", "cls"),
        [(group, kind, cls) for group, kinds in _COMPONENTS.items() for kind, cls in kinds.items()],
    )
    def test_implementation_can_be_imported(self, group, kind, cls):
        module, name = cls.implementation.split(":")
        found = getattr(importlib.import_module(module), name)
        chosen = kind in ("auto", "stages", "transformers")  # a function that chooses a class
        assert callable(found) if chosen else isinstance(found, type)
        assert next(f for f in dataclasses.fields(cls) if f.name == "kind").default == kind

    def test_every_field_is_documented(self):
        for kinds in _COMPONENTS.values():
            for cls in kinds.values():
                docs = "".join(base.__doc__ or "" for base in cls.__mro__)
                for field in dataclasses.fields(cls):
                    assert f"{field.name}:" in docs, f"{cls.__name__}.{field.name}"

    def test_build_constructs_the_class(self):
        from harness.embedding.pooling import MeanPooling

        config = MeanPoolingConfig()
        built = build(config)
        assert isinstance(built, MeanPooling)
        assert built.config is config

    def test_build_hands_on_dependencies(self, monkeypatch):
        monkeypatch.setitem(_COMPONENTS, "toy", {})

        @component("toy", "one", "builtins:dict")
        @dataclasses.dataclass(kw_only=True)
        class Toy(ComponentConfig):
            kind: str = "one"

            def __iter__(self):
                yield ("kind", self.kind)

        assert build(parse_component("toy", {"kind": "one"}, where="toy"), extra=2) == {
            "kind": "one",
            "extra": 2,
        }


@pytest.mark.parametrize(
    ("cls", "values", "setting"),
    [
        (TasksConfig, {"empty_text": "drop"}, "tasks.empty_text"),
        (TasksConfig, {"names": "SciFact"}, "tasks.names"),
        (TasksConfig, {"benchmark": ["BEIR"]}, "tasks.benchmark"),
        (TasksConfig, {"split": None}, "tasks.split"),
        (TasksConfig, {"name": []}, "tasks.name"),
        (TasksConfig, {"all": "most"}, "tasks.all"),
        (TasksConfig, {"types": ["Image"]}, "tasks.types"),
        (TasksConfig, {"types": "STS"}, "tasks.types"),
        (TasksConfig, {"languages": "eng"}, "tasks.languages"),
        (TasksConfig, {"eval_splits": "test"}, "tasks.eval_splits"),
        (TasksConfig, {"exclude": "SciFact"}, "tasks.exclude"),
        (TasksConfig, {"max_documents": 0}, "tasks.max_documents"),
        (TasksConfig, {"max_documents": "few"}, "tasks.max_documents"),
        (TasksConfig, {"max_characters": -1}, "tasks.max_characters"),
        (CostConfig, {"latency_queries": -1}, "cost.latency_queries"),
        (CostConfig, {"latency_warmup": -1}, "cost.latency_warmup"),
        (CostConfig, {"latency_queries": None}, "cost.latency_queries"),
        (CostConfig, {"matmul_peak": "perhaps"}, "cost.matmul_peak"),
        (ReportConfig, {"debug": "perhaps"}, "report.debug"),
        (ReportConfig, {"titel": "x"}, "report.titel"),
    ],
)
def test_bad_value_elsewhere(cls, values, setting, refusal):
    where = setting.split(".")[0]
    assert setting in refusal(lambda: parse(cls, OmegaConf.create(values), where=where))


@pytest.mark.parametrize("mapping", ["text", None, 3, ["a"]])
def test_settings_that_are_no_mapping(mapping, refusal):
    assert "tasks" in refusal(lambda: parse(TasksConfig, mapping, where="tasks"))


@pytest.mark.parametrize(("path", "parsed"), [(None, []), ("a", ["a"]), (["a", "b"], ["a", "b"])])
def test_paths_become_a_list(path, parsed):
    assert parse(TasksConfig, OmegaConf.create({"path": path}), where="tasks").path == parsed


def test_task_types_are_mtebs_in_any_case(refusal):
    types = OmegaConf.create({"types": ["sts", "PAIRclassification"]})
    config = parse(TasksConfig, types, where="tasks")
    assert config.types == ["STS", "PairClassification"]
    assert set(TASK_TYPES) <= set(get_args(TaskType))
    bad = OmegaConf.create({"types": ["STS", "ImageClassification"]})
    assert refusal(lambda: parse(TasksConfig, bad, where="tasks")) == (
        "tasks.types='ImageClassification' is unknown; choose one of: Retrieval, Reranking, "
        "InstructionRetrieval, InstructionReranking, STS, PairClassification, Classification, "
        "MultilabelClassification, Regression, Clustering, BitextMining, Summarization"
    )


class TestIdentity:
    def test_unscored_fields_stay_out(self):
        config = TransformersBackendConfig(device="cpu", attention="eager", token_budget=5)
        assert identity(config) == {"kind": "transformers", "dtype": "auto"}

    def test_whole_component_as_json(self):
        assert json.loads(json.dumps(identity(HybridConfig(weights=[1, 2])))) == {
            "kind": "hybrid",
            "modes": ["dense", "bm25"],
            "fusion": "minmax",
            "weights": [1.0, 2.0],
            "depth": 1000,
            "rrf_k": 60.0,
        }

    def test_nested(self):
        @dataclasses.dataclass
        class Inner:
            kept: int = 1
            left: int = unscored(2)

        @dataclasses.dataclass
        class Outer:
            parts: dict = dataclasses.field(default_factory=lambda: {3: (Inner(), Inner(kept=4))})
            none: None = None

        assert identity(Outer()) == {"parts": {"3": [{"kept": 1}, {"kept": 4}]}, "none": None}

    def test_default_lists_are_not_shared(self):
        @dataclasses.dataclass
        class Listed:
            values: list = unscored([1])  # noqa: RUF009

        one = Listed()
        one.values.append(2)
        assert Listed().values == [1]
        assert identity(one) == {}


def composed(main, *overrides):
    """A command's configuration as Hydra composes it; what must be set by hand is set to `x`."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(main, overrides=list(overrides))
        missing = sorted(OmegaConf.missing_keys(config))
        if not missing:
            return config
        return compose(main, overrides=[*overrides, *(f"{key}=x" for key in missing)])


def parsed(main, *overrides):
    cls = getattr(harness.config, f"{main.capitalize()}Config")
    if main != "train":
        return parse(cls, composed(main, *overrides), where="")
    # What a model's file sets beside the model is of no use there; Hydra names the output.
    settings = OmegaConf.to_container(composed(main, *overrides, "output=x"), resolve=True)
    names = {field.name for field in dataclasses.fields(cls)} & set(settings)
    return parse(cls, {name: settings[name] for name in names}, where="")


def groups(main):
    """Groups that a command's defaults list chooses from."""
    names = set()
    for entry in OmegaConf.load(CONF / f"{main}.yaml").defaults:
        if not isinstance(entry, str):
            names |= {str(key).split()[-1].lstrip("/") for key in entry}
    return {name for name in names if (CONF / name).is_dir() and not name.startswith("hydra")}


# An experiment that is of one command alone.
OTHERS = [
    ("run", name) for name in ("aligned_study", "pydoc_llama_stages", "pydoc_llama_temperature")
]
NEEDS = {("transform", "pc1"): ["transform.weight=1"]}
SHAPE = {"layers": 2, "width": 8, "heads": 2, "intermediate": 16, "vocabulary": 100}
NEEDS |= {("shape", "custom"): [f"shape.{name}={value}" for name, value in SHAPE.items()]}
NEEDS |= {("train", step): ["model=local"] for step in ("mntp", "simcse", "contrastive")}

OPTIONS = [
    (main, group, file.stem)
    for main in MAINS
    for group in sorted(groups(main))
    for file in sorted((CONF / group).glob("*.yaml"))
    if group != "local"
    and (main, file.stem) not in OTHERS
    # What is planned is what runs on embeddings and aligned tokens alone.
    and ((main, group) != ("plan", "retrieval") or file.stem in ("dense", "aligned_sparse"))
]


class TestFiles:
    @pytest.mark.parametrize("main", MAINS)
    def test_every_command_parses(self, main):
        parsed(main)

    @pytest.mark.parametrize(("main", "group", "option"), OPTIONS)
    def test_every_option_parses(self, main, group, option):
        choice = f"{group}={option}"
        if group == "retrieval":
            others = ["dense", "aligned_sparse"] if main == "plan" else ["dense", "bm25"]
            choice = f"retrieval=[{','.join(dict.fromkeys([*others, option]))}]"
        step = ["train=mntp"] if (main, group) == ("train", "model") else []  # one with a start
        parsed(main, choice, *step, *NEEDS.get((group, option), ()))

    def test_an_experiment_of_another_command_is_refused(self, refusal):
        for main, experiment in OTHERS:
            message = refusal(lambda main=main, e=experiment: parsed(main, f"experiment={e}"))
            assert "parts" in message

    def test_every_file_is_covered(self):
        covered = {CONF / group / f"{option}.yaml" for _, group, option in OPTIONS}
        covered |= {CONF / f"{main}.yaml" for main in MAINS} | {CONF / "hydra_settings.yaml"}
        ignored = {*(CONF / "local").rglob("*.yaml"), *(CONF / "hydra").rglob("*.yaml")}
        assert set(CONF.rglob("*.yaml")) - ignored == covered

    def test_component_files_state_every_setting_with_its_default(self):
        skip = {"name", "path"}  # ??? or null, by file
        for group, kinds in _COMPONENTS.items():
            if group in ("model", "instruction", "train"):
                continue
            for kind, cls in kinds.items():
                if kind == "pc1":  # wants one of two settings, so it has no default as a whole
                    continue
                choice = f"retrieval=[dense,bm25,{kind}]" if group == "retrieval" else ""
                mapping = composed("run", choice or f"{group}={kind}")[group]
                mapping = mapping[kind] if choice else mapping
                settings = dataclasses.asdict(parse_component(group, mapping, where=group))
                assert set(mapping) == set(settings)
                default = dataclasses.asdict(cls())
                assert {k: v for k, v in settings.items() if k not in skip} == {
                    k: v for k, v in default.items() if k not in skip
                }

    @pytest.mark.parametrize("kind", ["pretrain", "mntp", "simcse", "contrastive"])
    def test_training_files_state_defaults(self, kind):
        cls = _COMPONENTS["train"][kind]
        data = "pairs" if kind == "contrastive" else "text"
        default = dataclasses.asdict(cls(**{data: "x"}))
        stated = OmegaConf.load(CONF / "train" / f"{kind}.yaml")
        assert OmegaConf.is_missing(stated, data)
        del stated[data]
        assert dict(stated) == {name: default[name] for name in stated}
        own = set(default) - {field.name for field in dataclasses.fields(StepConfig)} - {data}
        assert own <= set(stated)

    def test_run_states_every_setting_with_its_default(self):
        config = composed("run")
        names = {field.name for field in dataclasses.fields(RunConfig)}
        assert set(config) == names

    @pytest.mark.parametrize(
        ("override", "setting"),
        [("tasks=folder", "tasks.path"), ("model=local", "model.path"), ("model=hf", "model.name")],
    )
    def test_what_must_be_given(self, override, setting, refusal):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("run", overrides=[override])
        message = refusal(lambda: parse(RunConfig, config, where=""))
        assert message == f"{setting} is not set: give {setting}=... on the command line"


class TestRun:
    SETTINGS: ClassVar = [
        ("pooling.kind=median", "pooling.kind"),
        ("pooling.include_instruction=some", "pooling.include_instruction"),
        ("+pooling.colour=red", "pooling.colour"),
        ("+colour=red", "colour"),
        ("retrieval.bm25.b=7", "retrieval.bm25.b"),
        ("retrieval.hybrid.modes=[dense,splade]", "retrieval.hybrid.modes"),
        ("retrieval.hybrid.modes=[dense,hybrid]", "retrieval.hybrid.modes"),
        ("~retrieval.bm25", "retrieval.hybrid.modes"),
        ("retrieval=[]", "retrieval"),
        ("format=xml", "format"),
        ("cost.latency_queries=-5", "latency_queries"),
        ("tasks.empty_text=drop", "empty_text"),
        ("model.max_length=2", "model.max_length"),
        ("metrics=ndcg", "metrics"),
        ("metrics=[ndcg_at_7]", "metrics"),
        ("metrics=[accuracy_at_10]", "metrics"),
        ("metrics=[ndcg]", "metrics"),
        ("info=perhaps", "info"),
        ("check_published=true", "check_published"),
        ("published=''", "published"),
        ("published_tolerance=-0.1", "published_tolerance"),
        ("published_tolerance=nan", "published_tolerance"),
        ("published_names={toy: Other}", "published_names"),
        ("~tasks", "tasks"),
        ("~cost", "cost"),
    ]

    @pytest.mark.parametrize(("override", "setting"), SETTINGS)
    def test_bad_override_names_its_setting(self, override, setting, refusal):
        config = composed("run", override)
        assert setting in refusal(lambda: parse(RunConfig, config, where=""))

    def test_default(self):
        config = parsed("run")
        assert list(config.retrieval) == ["dense", "aligned_sparse", "hybrid", "bm25"]
        assert config.model.name == "sentence-transformers/all-MiniLM-L6-v2"
        assert config.head.kind == "ridge"
        assert config.tasks == TasksConfig()
        assert config.format == "table"
        assert config.metrics == []
        assert (config.info, config.published, config.check_published) == (False, None, False)

    def test_metrics_of_every_type(self):
        metrics = ["recall_at_100", "accuracy", "v_measure", "cosine_pearson", "max_ap", "p-MRR"]
        assert parsed("run", f"metrics=[{','.join(metrics)}]").metrics == metrics

    def test_published_scores(self):
        names = "published_names={toy: NFCorpus, other: STS17/en-en}"
        config = parsed("run", "published=DIR", names, "check_published=true")
        assert config.published_names == {"toy": "NFCorpus", "other": "STS17/en-en"}

    @pytest.mark.parametrize("official", ["''", "Task/", "/en", "3", "null", "[a]"])
    def test_official_names_of_nothing(self, official, refusal):
        config = composed("run", "published=DIR", f"published_names={{toy: {official}}}")
        message = refusal(lambda: parse(RunConfig, config, where=""))
        assert "published_names.toy=" in message
        assert "names no task; write Task or Task/subset" in message

    def test_a_fusion_is_not_fused_again(self, refusal):
        config = OmegaConf.to_container(composed("run"))
        config["retrieval"]["again"] = {"kind": "hybrid", "modes": ["hybrid", "bm25"]}
        message = refusal(lambda: parse(RunConfig, config, where=""))
        assert "retrieval.again.modes names 'hybrid', itself a fusion" in message
