"""Embeddings equal to the published packages `llm2vec` and `gritlm`, token by token and number by
number. Their vectors are in tests/golden, with the scripts that made them in an environment of
their own."""

import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from safetensors.numpy import load_file

from harness.config import ModelConfig, TransformersBackendConfig, build, parse_component
from harness.embedding.encoder import TextEncoder
from harness.embedding.instructions import TaskInstruction, Template
from harness.embedding.model import EmbeddingModel

GOLDEN = Path(__file__).parents[1] / "golden"
CONF = Path(__file__).parents[2] / "conf" / "instruction"
TOLERANCE = 2e-5  # the packages pad on the left, which shifts the angles of rotary positions

LLM2VEC = json.loads((GOLDEN / "llm2vec.json").read_text())
GRITLM = json.loads((GOLDEN / "gritlm.json").read_text())
NETWORKS = {}
TEMPLATES = {
    "": "llm2vec",
    "mistralai/Mistral-7B-Instruct-v0.2": "llm2vec_inst",
    "meta-llama/Llama-2-7b-chat-hf": "llm2vec_inst",
    "meta-llama/Meta-Llama-3-8B-Instruct": "llm2vec_llama3",
    "meta-llama/Meta-Llama-3-8B": "llm2vec",
    "Qwen/Qwen2-7B-Instruct": {
        "query": "<|im_start|>user\n{instruction} {text}<|im_end|>",
        "document": "<|im_start|>user\n{text}<|im_end|>",
        "strip": "end",
    },
}
# What the package's eos_token pooling writes after a text; the package then takes the last token.
WRITTEN_END = {"llama": " </s>", "mistral": " </s>", "gemma": "<eos>", "qwen2": "<|endoftext|>"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, golden_tiny):
    """Model and adapter folders by architecture, each built once."""
    root = tmp_path_factory.mktemp("golden")

    def folder(architecture, adapter=None):
        path = root / (f"{architecture}-{adapter}" if adapter else architecture)
        if not path.exists():
            if adapter:
                golden_tiny.write_adapter(path, architecture, name=adapter)
            else:
                golden_tiny.write_model(path, architecture)
        return path

    return folder


def shipped(name, **changes):
    parts = [OmegaConf.load(CONF / "none.yaml")]
    parts += [OmegaConf.load(CONF / f"{name}.yaml")] if isinstance(name, str) else [name]
    merged = OmegaConf.merge(*parts, changes)
    merged.pop("defaults", None)
    return parse_component("instruction", merged, where="instruction")


def encoder_of(folder, tmp_path, *, pooling, template, instruction, side="right", **model):
    loaded = EmbeddingModel(ModelConfig(path=str(folder), **model))
    pool = parse_component("pooling", pooling, where="pooling")
    config = TransformersBackendConfig(device="cpu", dtype="float32", padding_side=side)
    backend = build(config, model=loaded, pooling=build(pool))
    key = (folder, side, loaded.config.attention, *loaded.config.adapters)
    if key not in NETWORKS:
        NETWORKS[key] = backend.network
    backend.network = NETWORKS[key]
    return TextEncoder(
        model=loaded,
        pooling=pool,
        template=Template(template, task=TaskInstruction(instruction)),
        backend=backend,
        store_dir=tmp_path,
    )


def llm2vec_template(case):
    template = shipped(TEMPLATES[case["name_or_path"]], locate="count", instruction_end=":")
    if case["pooling_mode"] != "eos_token":
        return template
    if case["name_or_path"] == "meta-llama/Meta-Llama-3-8B-Instruct":
        return template  # the package returns early
    end = WRITTEN_END[case["architecture"]]
    if case["name_or_path"] == "meta-llama/Meta-Llama-3-8B":
        end = "<|end_of_text|>"
    changes = {
        side: getattr(template, side) + end
        for side in ("query", "document", "uninstructed")
        if getattr(template, side)
    }
    return shipped(TEMPLATES[case["name_or_path"]], locate="count", strip="end", **changes)


def llm2vec_encoder(case, folders, tmp_path, padding_side):
    pooling = {
        "mean": {"kind": "mean"},
        "weighted_mean": {"kind": "weighted_mean"},
        "eos_token": {"kind": "last_token"},
        "last_token": {"kind": "last_token"},
        "bos_token": {"kind": "bos"},
    }[case["pooling_mode"]]
    if pooling["kind"] != "bos":
        pooling["include_instruction"] = not case["skip_instruction"]
    return encoder_of(
        folders(case["architecture"]),
        tmp_path,
        pooling=pooling,
        template=llm2vec_template(case),
        instruction=case["instruction"],
        side=padding_side,
        attention="bidirectional" if case["bidirectional"] else "causal",
        adapters=[str(folders(case["architecture"], name)) for name in case["adapters"]],
        max_length=case["max_length"],
        text_max_length=case["doc_max_length"],
        text_cut="words",
    )


# There the package cuts every prompt at its end, template and all; harness never cuts a template.
CUT_THROUGHOUT = {"llama_short_prompt_mean", "mistral_short_prompt_mean"}


@pytest.mark.parametrize("name", [name for name in LLM2VEC["cases"] if name not in CUT_THROUGHOUT])
def test_llm2vec(name, folders, tmp_path):
    case = LLM2VEC["cases"][name]
    texts = LLM2VEC["texts"]
    wanted_ids = LLM2VEC["prompts"][case["prompts"]]
    wanted = load_file(GOLDEN / "llm2vec.safetensors")[name]
    side = "query" if case["instruction"] else "document"
    padding = "left" if len(name) % 2 else "right"
    encoder = llm2vec_encoder(case, folders, tmp_path, padding)
    found = encoder.fresh([str(row) for row in range(len(texts))], texts, side)
    ids = [row.tolist() for row in found.prompts.ids]
    # A prompt that is still too long loses its end in the package, template and all.
    cut = case["max_length"] < 100
    whole = [len(wanted_ids[row]) < case["max_length"] for row in range(len(texts))]
    rows = [
        row for row in range(len(texts)) if not cut or (whole[row] and ids[row] == wanted_ids[row])
    ]
    assert len(rows) >= (3 if cut else len(texts))
    assert [ids[row] for row in rows] == [wanted_ids[row] for row in rows]
    if case["skip_instruction"] and case["pooling_mode"] in ("mean", "weighted_mean"):
        pooled = found.prompts.ids.lengths - found.prompts.text_start
        assert pooled[rows].tolist() == [case["pooled"][row] for row in rows]
    np.testing.assert_allclose(found.embeddings[rows], wanted[rows], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", GRITLM["cases"])
def test_gritlm(name, folders, tmp_path):
    case = GRITLM["cases"][name]
    texts = GRITLM["texts"]
    end = case["embed_eos"]
    template = shipped("gritlm")
    changes = {s: getattr(template, s) + end for s in ("query", "document", "uninstructed")}
    sentence = "Given a web search query, retrieve relevant passages that answer the query"
    if not case["instruction"]:
        changes = dict.fromkeys(changes, "{text}" + end)
    elif case["instruction"] != "<|embed|>\n":
        assert case["instruction"] == f"<|user|>\n{sentence}\n<|embed|>\n"
    # Only its means leave the instruction out, and only where there is one.
    means = case["pooling_method"] in ("mean", "weightedmean")
    include = case["embed_instruction"] or not means or not case["instruction"]
    kind = {"weightedmean": "weighted_mean", "lasttoken": "last_token"}
    encoder = encoder_of(
        folders(GRITLM["architecture"]),
        tmp_path,
        pooling={
            "kind": kind.get(case["pooling_method"], case["pooling_method"]),
            "include_instruction": include,
        },
        template=shipped("gritlm", **changes),
        instruction=sentence,
        attention="bidirectional" if case["bidirectional"] else "causal",
        normalize=case["normalized"],
    )
    side = "query" if "<|user|>" in case["instruction"] else "document"
    found = encoder.fresh([str(row) for row in range(len(texts))], texts, side)
    assert [row.tolist() for row in found.prompts.ids] == GRITLM["prompts"][case["prompts"]]
    if not include:
        assert found.prompts.text_start.tolist() == [case["excluded"]] * len(texts)
    vectors = found.embeddings
    if encoder.model.normalize:
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    wanted = load_file(GOLDEN / "gritlm.safetensors")[name]
    np.testing.assert_allclose(vectors, wanted, rtol=0, atol=TOLERANCE)


def test_the_cases_cover_what_the_packages_do():
    cases = LLM2VEC["cases"].values()
    assert {case["pooling_mode"] for case in cases} == {
        *("mean", "weighted_mean", "eos_token", "last_token", "bos_token")
    }
    assert {case["architecture"] for case in cases} == {"llama", "mistral", "qwen2", "gemma"}
    assert {tuple(case["adapters"]) for case in cases} >= {(), ("mntp", "simcse")}
    assert {case["name_or_path"] for case in cases} == set(TEMPLATES)
    assert {case["pooling_method"] for case in GRITLM["cases"].values()} == {
        *("mean", "weightedmean", "cls", "lasttoken")
    }
