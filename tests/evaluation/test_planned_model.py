"""What a plan reads of a model: its settings, never its weights."""

import json

import pytest

from harness.config import parse
from harness.config.plan import PlanConfig
from harness.evaluation.planned_model import JUDGED_DOCUMENTS, JUDGED_TERMS, planned_model


@pytest.fixture
def plan_config(tmp_path):
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder

    def make(*overrides):
        settings = [f"store_dir={tmp_path}/store", *overrides]
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return parse(PlanConfig, compose("plan", overrides=settings), where="")

    return make


LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 100,
    "max_position_embeddings": 64,
}


def write(folder, settings=LLAMA, **files):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_a_config_json_is_enough(plan_config, tmp_path):
    found = planned_model(plan_config("model=local", f"model.path={write(tmp_path / 'llama')}"))
    assert (found.name, found.max_length, found.copies) == ("local/llama", 64, 1)
    embedder = found.embedder
    assert (embedder.width, embedder.vocabulary) == (16, 100)
    # Queries and output 16·16 each, keys and values 16·8 each, three matrices of 16·32; two layers.
    assert embedder.forward.linear == 2 * 2 * (2 * 256 + 2 * 128 + 3 * 512)
    assert embedder.forward.quadratic == 2 * 4 * 16
    # It generates, so it has a head; vectors are compared by their cosine.
    assert (embedder.fitted, embedder.strengths, embedder.normalised) == (False, 0, True)


def test_minilm_is_as_published(plan_config):
    found = planned_model(plan_config())
    assert found.name == "sentence-transformers/all-MiniLM-L6-v2"
    assert (found.max_length, found.embedder.width, found.embedder.vocabulary) == (256, 384, 30522)
    assert found.embedder.forward.linear == 6 * 2 * (4 * 384**2 + 2 * 384 * 1536)
    assert (found.embedder.fitted, found.embedder.strengths) == (True, 13)


def test_what_is_judged_is_what_the_head_judges():
    from harness.alignment import regularisation
    from harness.commands.plan import SHARD_BYTES
    from harness.embedding import encoder

    assert (JUDGED_DOCUMENTS, JUDGED_TERMS) == (
        regularisation._SAMPLE,
        regularisation._QUERY_TERMS,
    )
    assert SHARD_BYTES == encoder._SHARD_BYTES


@pytest.mark.parametrize(
    ("shape", "vocabulary", "parameters"),
    [("mistral_7b", 32_000, 7_241_732_096), ("llama_3_8b", 128_256, 8_030_261_248)],
)
def test_presets_have_the_published_number_of_parameters(
    plan_config, shape, vocabulary, parameters
):
    """Linear FLOPs are two a parameter, but for embeddings, the LM head and the norms."""
    found = planned_model(plan_config(f"shape={shape}"))
    assert (found.embedder.width, found.embedder.vocabulary) == (4096, vocabulary)
    norms = (2 * 32 + 1) * 4096
    assert found.embedder.forward.linear / 2 + 2 * 4096 * vocabulary + norms == parameters
    assert not found.embedder.fitted
    assert found.max_length == 512


def test_a_shape_of_ones_own(plan_config):
    sizes = ["layers=2", "width=16", "heads=4", "intermediate=32", "vocabulary=100"]
    overrides = ["shape=custom", *(f"shape.{size}" for size in sizes)]
    found = planned_model(plan_config(*overrides))
    assert found.embedder.forward.linear == 2 * 2 * (4 * 256 + 3 * 512)
    grouped = planned_model(plan_config(*overrides, "shape.key_value_heads=2", "shape.gated=false"))
    assert grouped.embedder.forward.linear == 2 * 2 * (2 * 256 + 2 * 128 + 2 * 512)
    wide = planned_model(plan_config(*overrides, "shape.head_width=8"))
    assert wide.embedder.forward.quadratic == 2 * 4 * 32


def test_poolings(plan_config, tmp_path):
    folder = write(tmp_path / "llama")
    local = ("model=local", f"model.path={folder}")
    assert planned_model(plan_config(*local, "pooling=echo")).copies == 2
    bert = {
        "model_type": "bert",
        "num_hidden_layers": 1,
        "hidden_size": 8,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "vocab_size": 30,
    }
    folder = write(tmp_path / "bert", bert)
    found = planned_model(plan_config("model=local", f"model.path={folder}", "pooling=splade"))
    # A weight for each entry of the vocabulary, through a head that reads every token.
    assert found.embedder.width == 30
    assert found.embedder.forward.linear == 2 * (4 * 64 + 2 * 128) + 2 * 64 + 2 * 8 * 30
    assert found.max_length == 512
    # Without a head of its own it is given a fitted one, at a strength that is chosen or not.
    fitted = planned_model(plan_config("model=local", f"model.path={folder}", "pooling=mean"))
    assert (fitted.embedder.fitted, fitted.embedder.strengths) == (True, 13)
    given = plan_config(
        *("model=local", f"model.path={folder}", "pooling=mean"),
        *("head=ridge", "head.regularisation=1"),
    )
    assert planned_model(given).embedder.strengths == 0


def test_similarity(plan_config, tmp_path):
    folder = write(tmp_path / "llama")
    local = ("model=local", f"model.path={folder}")
    dot = planned_model(plan_config(*local, "retrieval.dense.similarity=dot"))
    assert not dot.embedder.normalised
    own = planned_model(plan_config(*local, "model.similarity=dot", "model.normalize=true"))
    assert own.embedder.normalised


def test_dense_layers(plan_config, tmp_path):
    root = write(
        tmp_path / "sentence",
        modules=[
            {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
        ],
        sentence_bert_config={"max_seq_length": 32},
    )
    write(root / "1_Pooling", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True})
    write(root / "2_Dense", {"in_features": 16, "out_features": 5})
    found = planned_model(plan_config("model=local", f"model.path={root}"))
    assert (found.embedder.width, found.max_length) == (5, 32)
    assert found.embedder.forward.constant == 2 * 16 * 5
    write(root / "2_Dense", {"in_features": 16})


def test_an_adapter_has_its_base_models_shape(plan_config, tmp_path):
    base = write(tmp_path / "base")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    found = planned_model(plan_config("model=local", f"model.path={adapter}"))
    assert (found.name, found.embedder.width) == ("local/adapter", 16)


def test_a_hub_model_needs_no_weights(plan_config, hub):
    hub("org/large", {"config.json": json.dumps(LLAMA).encode(), "model.safetensors": b"x"},
        cached=["config.json"])  # fmt: skip
    found = planned_model(plan_config("model=hf", "model.name=org/large"))
    assert (found.name, found.embedder.width) == ("org/large", 16)


def test_refusals(plan_config, tmp_path, refusal, hub):
    hub("org/other", {"config.json": b"{}"})
    says = refusal(lambda: planned_model(plan_config("model=hf", "model.name=no/such")))
    assert "shape=mistral_7b" in says
    (tmp_path / "empty").mkdir()
    local = ("model=local", f"model.path={tmp_path / 'empty'}")
    assert "config.json" in refusal(lambda: planned_model(plan_config(*local)))
    folder = write(tmp_path / "odd", {"model_type": "mamba"})
    says = refusal(lambda: planned_model(plan_config("model=local", f"model.path={folder}")))
    assert "'mamba'" in says
    assert "shape=custom" in says
