"""The masked-language-model head against transformers, one tensor of a sharded model, and `auto`.

Models of every known family are random in all their parameters (biases and scales too) and saved to
disk; the head reads their weights alone, and its logits are those of transformers' own model.
"""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from harness.alignment.linear import LmHead, TiedHead
from harness.alignment.mlm import MlmHead
from harness.config import (
    AutoHeadConfig,
    EncoderRunConfig,
    IdentityHeadConfig,
    LmHeadConfig,
    MlmHeadConfig,
    RidgeHeadConfig,
    TiedHeadConfig,
    build,
    parse,
)
from harness.evaluation.encoder import build_encoder, with_published_settings

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 80,
    "pad_token_id": 0,
}
WIDE = SMALL | {"intermediate_size": 32}
FAMILIES = {
    "bert": ("Bert", WIDE),
    "roberta": ("Roberta", WIDE),
    "xlm-roberta": ("XLMRoberta", WIDE),
    "camembert": ("Camembert", WIDE),
    "mpnet": ("MPNet", WIDE),
    "distilbert": (
        "DistilBert",
        {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 32, "max_position_embeddings": 80},
    ),
    "modernbert": (
        "ModernBert",
        WIDE | {"local_attention": 8, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2},
    ),
}
OWN_HEAD = {
    "bert": lambda model, h: model.cls(h),
    "distilbert": lambda model, h: model.vocab_projector(
        model.vocab_layer_norm(model.activation(model.vocab_transform(h)))
    ),
    "modernbert": lambda model, h: model.decoder(model.head(h)),
}
TEXTS = ["the cat sat on the mat.", "fox", "", "what is a cat? a cat is a small animal. " * 3]
BERT_HEAD = (
    "cls.predictions.transform.dense.weight",
    "cls.predictions.transform.dense.bias",
    "cls.predictions.transform.LayerNorm.weight",
    "cls.predictions.transform.LayerNorm.bias",
    "cls.predictions.bias",
    "bert.embeddings.word_embeddings.weight",
)
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def save(tmp_path, tiny_bert):
    """Makes a model's folder: class, settings, and the tiny BERT's tokenizer."""

    def make(name, kind, **settings):
        folder = tmp_path / name
        size = json.loads((tiny_bert / "config.json").read_text())["vocab_size"]
        cls = getattr(transformers, kind)
        model = cls(cls.config_class(**{"vocab_size": size} | settings)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                centre = 1.0 if parameter.ndim == 1 and parameter.abs().sum() > 0 else 0.0
                parameter.normal_(centre, 0.4)
        model.save_pretrained(folder)
        for file in tiny_bert.glob("tokenizer*"):
            shutil.copy(file, folder)
        return folder

    with torch.random.fork_rng():
        torch.manual_seed(13)
        yield make


@pytest.fixture
def save_family(save):
    def make(family, name=None, **settings):
        prefix, plain = FAMILIES[family]
        return save(name or family, f"{prefix}ForMaskedLM", **plain | settings)

    return make


def resolved(folder, **groups):
    """A configuration with `auto` resolved, and its encoder."""
    settings = {
        "model": {"kind": "huggingface", "path": str(folder)},
        "pooling": {"kind": "cls"},
        "instruction": {"kind": "auto"},
        "head": {"kind": "auto"},
        "transform": {"kind": "none"},
        "backend": {"kind": "transformers", "device": "cpu"},
        "tasks": {},
        **groups,
    }
    config = parse(EncoderRunConfig, settings, where="")
    model = build(config.model)
    config = with_published_settings(config, model)
    return config, build_encoder(config, model)


def mlm_head(folder, **settings):
    return MlmHead(MlmHeadConfig(**settings), encoder=resolved(folder)[1])


def logits_of(head, states):
    logits = head.project(states) @ head.matrix.T
    return logits if head.bias is None else logits + head.bias


def own_model(folder):
    return transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()


def own_logits(folder, states):
    model = own_model(folder)
    through = OWN_HEAD.get(model.config.model_type, lambda model, h: model.lm_head(h))
    with torch.inference_mode():
        return through(model, torch.from_numpy(states)).numpy()


def rewrite(folder, change):
    """Put what `change` makes of each (name, tensor) in the place of a model's weights."""
    tensors = load_file(folder / "model.safetensors").items()
    changed = dict(change(name, tensor) for name, tensor in tensors)
    save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})


def random_states(count=40, width=16):
    states = np.random.default_rng(5).normal(size=(count, width), scale=3.0)
    return np.vstack([states, np.zeros((1, width)), 100 * np.eye(1, width)]).astype(np.float32)


def assert_equal_to_transformers(folder, **settings):
    states = random_states()
    found = logits_of(mlm_head(folder, **settings), states)
    expected = own_logits(folder, states)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


class TestEqualToTransformers:
    @EVERY_FAMILY
    def test_logits_of_any_state(self, save_family, family):
        assert_equal_to_transformers(save_family(family))

    @EVERY_FAMILY
    def test_logits_of_what_the_model_reads(self, save_family, family):
        folder = save_family(family)
        _, encoder = resolved(folder)
        texts = encoder.fresh([str(i) for i in range(len(TEXTS))], TEXTS, "document")
        head = MlmHead(MlmHeadConfig(), encoder=encoder)
        head.fit(texts)
        found = logits_of(head, head.read(texts))
        model = own_model(folder)
        for text, logits in zip(TEXTS, found, strict=True):
            inputs = encoder.model.tokenizer([text], return_tensors="pt")
            with torch.inference_mode():
                expected = model(
                    input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
                ).logits[0, 0]
            np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)

    @EVERY_FAMILY
    def test_an_output_matrix_of_its_own(self, save_family, family):
        folder = save_family(family, tie_word_embeddings=False)
        tensors = load_file(folder / "model.safetensors")
        words = mlm_head(folder).matrix
        assert not any(
            tensor.shape == words.shape and np.array_equal(tensor, words)
            for name, tensor in tensors.items()
            if "embeddings" in name
        )
        assert_equal_to_transformers(folder)

    @pytest.mark.parametrize(
        ("family", "older"),
        [
            ("bert", "cls.predictions.bias"),
            ("roberta", "lm_head.bias"),
            ("xlm-roberta", "lm_head.bias"),
            ("camembert", "lm_head.bias"),
            ("mpnet", "lm_head.bias"),
        ],
    )
    def test_of_two_biases_the_output_matrixs_own_is_added(self, save_family, family, older):
        folder = save_family(family, tie_word_embeddings=False)
        tensors = load_file(folder / "model.safetensors")
        own = tensors[older.replace("bias", "decoder.bias")]
        assert not torch.equal(tensors[older], own)
        np.testing.assert_array_equal(mlm_head(folder).bias, own.numpy())
        assert_equal_to_transformers(folder)

    def test_older_names_of_the_normalisation(self, save_family):
        folder = save_family("bert")
        older = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

        def as_it_was(name, tensor):
            kept, ending = name[: name.rfind("LayerNorm")], name[name.rfind("LayerNorm") :]
            return (kept + older[ending] if ending in older else name), tensor

        rewrite(folder, as_it_was)
        names = set(load_file(folder / "model.safetensors"))
        assert names >= {f"cls.predictions.transform.{name}" for name in older.values()}
        assert not any(key.endswith(tuple(older)) for key in names)
        assert_equal_to_transformers(folder)

    @pytest.mark.parametrize(
        ("family", "settings"),
        [
            ("bert", {"hidden_act": "relu", "layer_norm_eps": 0.5}),
            ("bert", {"hidden_act": "gelu_new"}),
            ("roberta", {"hidden_act": "relu", "layer_norm_eps": 0.5}),
            ("xlm-roberta", {"layer_norm_eps": 0.5}),
            ("camembert", {"layer_norm_eps": 0.5}),
            ("mpnet", {"hidden_act": "relu", "layer_norm_eps": 0.5}),
            ("distilbert", {"activation": "relu"}),
            ("modernbert", {"classifier_activation": "silu", "norm_eps": 0.5}),
            ("modernbert", {"hidden_activation": "relu"}),
            ("modernbert", {"classifier_bias": True, "norm_bias": True}),
            ("modernbert", {"decoder_bias": False}),
        ],
    )
    def test_settings_of_the_head(self, save_family, family, settings):
        assert_equal_to_transformers(save_family(family, **settings))

    def test_without_a_bias(self, save_family):
        assert mlm_head(save_family("modernbert", decoder_bias=False)).bias is None

    def test_half_precision_weights_are_read_as_float32(self, save_family):
        folder = save_family("bert")
        rewrite(folder, lambda name, tensor: (name, tensor.to(torch.bfloat16)))
        head, states = mlm_head(folder), random_states()
        model = own_model(folder).float()
        with torch.inference_mode():
            expected = model.cls(torch.from_numpy(states)).numpy()
        np.testing.assert_allclose(logits_of(head, states), expected, rtol=0, atol=1e-4)
        assert head.matrix.dtype == head.bias.dtype == np.float32

    def test_shards(self, save_family):
        folder = save_family("bert")
        model = own_model(folder)
        model.save_pretrained(folder, max_shard_size="6KB")
        (folder / "model.safetensors").unlink(missing_ok=True)
        assert len(list(folder.glob("model-*.safetensors"))) > 2
        assert_equal_to_transformers(folder)

    def test_normalised_states(self, save_family):
        folder = save_family("bert")
        states = random_states()
        found = logits_of(mlm_head(folder, normalize=True), states)
        norms = np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
        np.testing.assert_allclose(found, own_logits(folder, states / norms), rtol=0, atol=1e-4)

    def test_states_are_left_alone(self, save_family):
        states = random_states()
        given = states.copy()
        given.setflags(write=False)
        mlm_head(save_family("bert")).project(given)
        np.testing.assert_array_equal(given, states)


class TestAnotherBackbone:
    def test_its_head_is_read(self, save_family, save):
        bare = save("bare", "BertModel", **WIDE)
        backbone = save_family("bert", "backbone")
        states = random_states()
        head = mlm_head(bare, path=str(backbone))
        np.testing.assert_allclose(
            logits_of(head, states), own_logits(backbone, states), rtol=0, atol=1e-4
        )

    def test_it_may_be_of_another_family(self, save_family):
        model, backbone = save_family("bert"), save_family("roberta")
        states = random_states()
        head = mlm_head(model, path=str(backbone))
        np.testing.assert_allclose(
            logits_of(head, states), own_logits(backbone, states), rtol=0, atol=1e-4
        )

    def test_another_width_is_refused(self, save_family, refusal):
        model = save_family("bert")
        wide = save_family("bert", "wide", hidden_size=32)
        message = refusal(lambda: mlm_head(model, path=str(wide)).identity())
        assert "matrix is 32 wide and the embeddings are 16" in message
        assert "head.path" in message

    @pytest.mark.parametrize("name", ["absent", "empty"])
    def test_a_folder_without_a_model_is_refused(self, save_family, tmp_path, name, refusal):
        (tmp_path / "empty").mkdir()
        head = mlm_head(save_family("bert"), path=str(tmp_path / name))
        assert f"head.path={tmp_path / name}" in refusal(head.identity)

    def test_identity_knows_the_weights_and_not_their_place(self, save_family, tmp_path):
        model = save_family("bert")
        here = save_family("bert", "here")
        there = shutil.copytree(here, tmp_path / "there")
        other = save_family("bert", "other")
        identity = mlm_head(model, path=str(here)).identity()
        assert identity == mlm_head(model, path=str(there)).identity()
        assert identity != mlm_head(model, path=str(other)).identity()
        assert identity != mlm_head(model, path=str(here), normalize=True).identity()
        assert str(here) not in json.dumps(identity)

    @pytest.mark.parametrize("name", BERT_HEAD)
    def test_identity_knows_every_tensor_of_the_head(self, save_family, name):
        model, backbone = save_family("bert"), save_family("bert", "backbone")
        before = mlm_head(model, path=str(backbone)).identity()
        rewrite(backbone, lambda key, tensor: (key, tensor + (key == name)))
        assert mlm_head(model, path=str(backbone)).identity() != before

    def test_identity_knows_nothing_else(self, save_family):
        model, backbone = save_family("bert"), save_family("bert", "backbone")
        before = mlm_head(model, path=str(backbone)).identity()
        rewrite(
            backbone,
            lambda key, tensor: (key, tensor + (key == "bert.encoder.layer.0.output.dense.weight")),
        )
        assert mlm_head(model, path=str(backbone)).identity() == before


class TestRefusals:
    @pytest.mark.parametrize(
        ("kind", "settings"),
        [
            ("BertModel", WIDE),
            ("RobertaModel", WIDE),
            ("DistilBertModel", FAMILIES["distilbert"][1]),
            # The word embeddings have the name that the head's matrix is tied to.
            ("BertForSequenceClassification", WIDE),
            ("RobertaForSequenceClassification", WIDE),
        ],
    )
    def test_an_encoder_without_a_head(self, save, kind, settings, refusal):
        folder = save("bare", kind, **settings)
        head = mlm_head(folder)
        for action in (head.identity, lambda: head.matrix, lambda: head.project(random_states())):
            message = refusal(action)
            assert f"head=mlm: {folder} holds no masked-language-model head" in message
            assert "head.path=BACKBONE" in message
            assert "head=ridge" in message

    def test_a_family_that_is_not_known(self, save, refusal):
        folder = save(
            "electra", "ElectraForMaskedLM", embedding_size=16, num_hidden_layers=1, hidden_size=16
        )
        message = refusal(mlm_head(folder).identity)
        assert message.startswith("head=mlm knows bert, roberta, xlm-roberta")
        assert "not electra; use head=tied or head=ridge" in message

    def test_a_tokenizer_larger_than_the_matrix(self, save_family, refusal):
        head = mlm_head(save_family("bert", vocab_size=100))
        message = refusal(head.identity)
        assert "the head knows 100 tokens and the tokenizer 137" in message
        assert "head.path must name a backbone with this tokenizer" in message

    def test_a_padded_matrix_is_taken(self, save_family):
        head = mlm_head(save_family("bert", vocab_size=192))
        head.identity()
        assert head.matrix.shape == (192, 16)
        assert head.vocabulary == 192
        assert len(head.bias) == 192


class TestCost:
    def test_flops_are_those_of_transform_and_matrix(self, save_family):
        assert mlm_head(save_family("bert")).flops_per_text == 2 * 16 * 137 + 2 * 16 * 16


class TestOneTensorOfAShardedModel:
    @pytest.fixture
    def shards(self, tiny_llama, tmp_path):
        """The tiny Llama in several files, all but those of the named tensors gone."""

        def make(*kept):
            folder = tmp_path / "shards"
            model = transformers.AutoModelForCausalLM.from_pretrained(tiny_llama)
            model.save_pretrained(folder, max_shard_size="10KB")
            for file in tiny_llama.glob("tokenizer*"):
                shutil.copy(file, folder)
            index = json.loads((folder / "model.safetensors.index.json").read_text())
            files = {index["weight_map"][name] for name in kept}
            for file in folder.glob("model-*.safetensors"):
                if file.name not in files:
                    file.unlink()
            assert not (folder / "model.safetensors").exists()
            assert len(set(index["weight_map"].values())) > len(files)
            return folder

        return make

    def test_the_lm_head_alone(self, shards, tiny_llama):
        backbone = shards("lm_head.weight")
        config = LmHeadConfig(path=str(backbone))
        head = LmHead(config, encoder=resolved(tiny_llama)[1])
        head.identity()
        expected = load_file(tiny_llama / "model.safetensors")["lm_head.weight"].numpy()
        np.testing.assert_array_equal(head.matrix, expected)
        own = LmHead(LmHeadConfig(), encoder=resolved(tiny_llama)[1])
        np.testing.assert_array_equal(head.matrix, own.matrix)

    def test_the_word_embeddings_alone(self, shards, tiny_llama):
        backbone = shards("model.embed_tokens.weight")
        config = LmHeadConfig(path=str(backbone))
        head = TiedHead(config, encoder=resolved(tiny_llama)[1])
        expected = load_file(tiny_llama / "model.safetensors")["model.embed_tokens.weight"].numpy()
        np.testing.assert_array_equal(head.matrix, expected)

    def test_the_file_with_the_tensor_must_be_there(self, shards, tiny_llama, refusal):
        backbone = shards("model.norm.weight")
        head = LmHead(LmHeadConfig(path=str(backbone)), encoder=resolved(tiny_llama)[1])
        message = refusal(head.identity)
        assert "cannot be read" in message
        assert "fetch it again" in message
        assert str(backbone) in message


class TestShardedModelsOfTheHub:
    """Of a sharded repository those files are fetched that hold tensors of the head."""

    @pytest.fixture
    def sharded(self, hub, tmp_path):
        """Makes a repository of a model in shards with the files of the named tensors cached."""

        def make(name, model, tensors, *, without=()):
            folder = tmp_path / "shards" / name
            model.save_pretrained(folder, max_shard_size="6KB")
            files = {file.name: file.read_bytes() for file in folder.iterdir()}
            index = json.loads(files["model.safetensors.index.json"])["weight_map"]
            needed = {index[name] for name in tensors}
            shards = {file for file in files if file.endswith(".safetensors")}
            assert needed < shards
            kept = needed - {index[name] for name in without}
            hub(f"org/{name}", files, cached=(set(files) - shards) | kept)
            return f"hub://org/{name}"

        return make

    @pytest.mark.parametrize(
        ("cls", "config", "name"),
        [
            (TiedHead, TiedHeadConfig, "model.embed_tokens.weight"),
            (LmHead, LmHeadConfig, "lm_head.weight"),
        ],
    )
    def test_the_one_matrix(self, sharded, tiny_llama, cls, config, name):
        model = transformers.AutoModelForCausalLM.from_pretrained(tiny_llama)
        path = sharded("llama", model, [name])
        head = cls(config(path=path), encoder=resolved(tiny_llama)[1])
        expected = load_file(tiny_llama / "model.safetensors")[name].numpy()
        np.testing.assert_array_equal(head.matrix, expected)

    def test_matrix_transform_and_bias(self, sharded, save_family):
        folder = save_family("bert")
        head = mlm_head(folder, path=sharded("bert", own_model(folder), BERT_HEAD))
        states = random_states()
        found = logits_of(head, states)
        np.testing.assert_allclose(found, own_logits(folder, states), rtol=0, atol=1e-4)

    @pytest.mark.parametrize("name", BERT_HEAD)
    def test_each_of_them_is_wanted(self, sharded, save_family, name, refusal):
        folder = save_family("bert")
        path = sharded("bert", own_model(folder), BERT_HEAD, without=[name])
        message = refusal(mlm_head(folder, path=path).identity)
        assert message.startswith("head.path: 'org/bert' is neither in the local hub cache nor")


class TestAuto:
    CAUSAL = SMALL | {"intermediate_size": 32, "num_key_value_heads": 2}

    @pytest.mark.parametrize("tied", [True, False])
    def test_a_causal_model_has_its_lm_head(self, save, tied):
        folder = save("causal", "LlamaForCausalLM", **self.CAUSAL, tie_word_embeddings=tied)
        config, encoder = resolved(folder)
        assert config.head == LmHeadConfig()
        head = build(config.head, encoder=encoder)
        tensors = load_file(folder / "model.safetensors")
        assert ("lm_head.weight" in tensors) == (not tied)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        output = model.get_output_embeddings().weight.detach().numpy()
        np.testing.assert_array_equal(head.matrix, output)

    def test_gpt2_ties_its_lm_head(self, save):
        folder = save("gpt2", "GPT2LMHeadModel", n_embd=16, n_layer=1, n_head=4, n_positions=64)
        config, encoder = resolved(folder)
        assert config.head == LmHeadConfig()
        head = build(config.head, encoder=encoder)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        np.testing.assert_array_equal(head.matrix, model.lm_head.weight.detach().numpy())

    @EVERY_FAMILY
    def test_an_encoder_has_its_masked_language_model_head(self, save_family, family):
        assert resolved(save_family(family))[0].head == MlmHeadConfig()

    @pytest.mark.parametrize(
        ("kind", "settings"),
        [
            ("BertModel", WIDE),
            ("ModernBertModel", FAMILIES["modernbert"][1]),
            ("LlamaModel", CAUSAL),
            ("LlamaModel", CAUSAL | {"tie_word_embeddings": True}),
            (
                "T5EncoderModel",
                {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 1, "num_heads": 4},
            ),
        ],
    )
    def test_a_bare_backbone_is_given_a_ridge_head(self, save, kind, settings):
        assert resolved(save("bare", kind, **settings))[0].head == RidgeHeadConfig()

    def test_an_encoder_decoder_is_given_a_ridge_head(self, save):
        folder = save(
            "t5",
            "T5ForConditionalGeneration",
            **{"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 1, "num_heads": 4},
            decoder_start_token_id=0,
        )
        assert resolved(folder)[0].head == RidgeHeadConfig()

    def test_a_bert_that_generates_has_its_masked_language_model_head(self, save):
        folder = save("bert", "BertLMHeadModel", **WIDE, is_decoder=True)
        assert resolved(folder)[0].head == MlmHeadConfig()

    def test_what_pools_to_token_weights_is_its_own_head(self, save_family):
        config, _ = resolved(save_family("bert"), pooling={"kind": "splade"})
        assert config.head == IdentityHeadConfig()

    def test_what_sentence_transformers_saves_has_no_head(self, save_family, tmp_path):
        from sentence_transformers import SentenceTransformer

        folder = tmp_path / "saved"
        plain = SentenceTransformer(str(save_family("bert")), device="cpu")
        plain.save(str(folder), create_model_card=False)
        assert resolved(folder)[0].head == RidgeHeadConfig()

    @pytest.mark.parametrize(
        "head",
        [
            {"kind": "ridge", "regularisation": 2.0},
            {"kind": "tied"},
            {"kind": "lm_head", "path": "elsewhere"},
            {"kind": "mlm", "normalize": True},
            {"kind": "identity"},
        ],
    )
    def test_a_configured_head_stays(self, save_family, head):
        config, _ = resolved(save_family("bert"), head=head)
        assert not isinstance(config.head, AutoHeadConfig)
        assert {key: getattr(config.head, key) for key in head} == head
