"""Whose embeddings are decomposed: a named backbone, the model's own, or none."""

import numpy as np
import pytest

from harness.analysis.backbone import backbone_encoder, backbone_of
from harness.embedding.model import EmbeddingModel
from harness.evaluation.encoder import with_published_settings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def resolved(analyze_config):
    def make(*arguments):
        config = analyze_config(*arguments)
        model = EmbeddingModel(config.model)
        return with_published_settings(config, model), model

    return make


def test_a_model_that_names_none_has_none(resolved, tiny_llama):
    assert backbone_of(*resolved(tiny_llama)) is None


def test_the_model_s_backbone(resolved, tiny_embedder, tiny_llama):
    config, model = resolved(tiny_embedder, f"model.backbone={tiny_llama}", "pooling=last_token")
    own = backbone_of(config, model)
    assert (own.model.path, own.model.backbone, own.model.name) == (str(tiny_llama), None, None)
    assert own.pooling is config.pooling
    assert own.head is config.head
    assert EmbeddingModel(own.model).name == "local/tiny-llama"
    assert config.model.path == str(tiny_embedder)  # left as it was
    assert config.model.backbone == str(tiny_llama)


def test_the_spectrum_s_backbone_comes_before_the_model_s(resolved, tiny_embedder, tiny_llama):
    own = backbone_of(
        *resolved(tiny_embedder, "model.backbone=elsewhere", f"spectrum.backbone={tiny_llama}")
    )
    assert own.model.path == str(tiny_llama)


def test_its_attention_is_its_own(resolved, tiny_embedder, tiny_llama):
    settings = tiny_embedder, f"spectrum.backbone={tiny_llama}", "model.attention=bidirectional"
    assert backbone_of(*resolved(*settings)).model.attention is None
    own = backbone_of(*resolved(*settings, "spectrum.attention=bidirectional"))
    assert own.model.attention == "bidirectional"


@pytest.fixture(scope="module")
def adapted(tmp_path_factory, golden_tiny):
    """A base model with an adapter for it."""
    root = tmp_path_factory.mktemp("adapted")
    golden_tiny.write_model(root / "base", "llama")
    golden_tiny.write_adapter(root / "lora", "llama", name="mntp")
    return root


def test_a_model_with_adapters_is_its_own_backbone_without_them(resolved, adapted, encoder_of):
    config, model = resolved(
        adapted / "base", f"model.adapters=[{adapted / 'lora'}]", "model.merge_last_adapter=true"
    )
    own = backbone_of(config, model)
    assert (own.model.path, own.model.adapters) == (str(adapted / "base"), [])
    assert own.model.merge_last_adapter is False
    embedder = encoder_of(config)
    encoder = backbone_encoder(own).with_template_of(embedder)
    words = ["one two three", "a cat"]
    moved = embedder.texts(["1", "2"], words, "query").pooled
    vectors = encoder.texts(["1", "2"], words, "query").pooled
    plain, _ = resolved(adapted / "base")
    expected = encoder_of(plain).texts(["1", "2"], words, "query").pooled
    np.testing.assert_array_equal(vectors, expected)
    assert np.abs(vectors - moved).max() > 1e-3


def test_an_adapter_folder_as_the_model_finds_its_base(resolved, adapted):
    """`model.path` names the adapter; the backbone is the base that it names."""
    import json
    import shutil

    own_adapter = adapted / "named"
    if not own_adapter.is_dir():
        shutil.copytree(adapted / "lora", own_adapter)
        settings = json.loads((own_adapter / "adapter_config.json").read_text())
        settings["base_model_name_or_path"] = str(adapted / "base")
        (own_adapter / "adapter_config.json").write_text(json.dumps(settings))
    own = backbone_of(*resolved(own_adapter))
    assert own.model.path == str(adapted / "base")
    assert EmbeddingModel(own.model).adapters == ()


def test_it_reads_what_the_embedder_reads(resolved, tiny_embedder, tiny_llama, encoder_of):
    """Its template is the embedder's, bound to the same task."""
    from harness.embedding.instructions import TaskInstruction

    config, model = resolved(
        tiny_embedder,
        *(f"spectrum.backbone={tiny_llama}", "instruction=none"),
        "instruction.query='{instruction} {text}'",
    )
    embedder = encoder_of(config).for_task(TaskInstruction(query="Tell me:"))
    encoder = backbone_encoder(backbone_of(config, model)).with_template_of(embedder)
    assert encoder.model.name == "local/tiny-llama"
    one, two = (e.texts(["1"], ["a cat"], "query").prompts.ids[0] for e in (embedder, encoder))
    assert one.tolist() == two.tolist()
    assert "Tell me: a cat" in encoder.model.tokenizer.decode(two)
