"""What a step leaves, read by transformers, by PEFT and by the harness itself."""

import json
import shutil

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from harness.config import ModelConfig
from harness.embedding.model import EmbeddingModel
from harness.training.network import Decoder, load_decoder
from harness.training.product import finished, refuse_to_replace, save, write_record
from tests.embedding.passes import backend, close, embedded, prompts_of
from tests.training.small import network, sentences, step, tokenizer, write_model

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS = [tokenizer()(text)["input_ids"] for text in sentences(5)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("base") / "model")


def loaded(folder, **settings):
    return load_decoder(EmbeddingModel(ModelConfig(path=str(folder), **settings)))


def trained(folder, target, *, base="base", model=None, seed=0, dtype="float32", **settings):
    """A product whose trained weights have been moved at random, and its decoder's states."""
    config = step("mntp", text="-", seed=seed, **settings)
    decoder = Decoder(loaded(folder, **(model or {})), config)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in decoder.trained.values():
            one.add_(0.1 * torch.randn(one.shape, generator=draw))
    decoder.network.eval()
    states, logits = states_of(decoder), logits_of(decoder.network)
    save(decoder, tokenizer(), target, dtype=dtype, base=base and str(folder))
    return states, logits


def states_of(decoder):
    with torch.no_grad():
        return [decoder.states(torch.tensor([row]), None)[0].numpy() for row in ROWS]


def logits_of(network):
    with torch.no_grad():
        return [network(input_ids=torch.tensor([row])).logits[0].numpy() for row in ROWS]


def all_close(found, expected, *, tolerance=1e-5):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_embeddings_of_the_product_are_those_that_were_trained(base, tmp_path, attention):
    states, _ = trained(base, tmp_path / "made", attention=attention)
    settings = json.loads((tmp_path / "made" / "config.json").read_text())
    assert settings["is_causal"] is (attention == "causal")
    model = EmbeddingModel(ModelConfig(path=str(tmp_path / "made")))
    assert model.attention == (None if attention == "causal" else "bidirectional")
    pooled = {
        "mean": np.stack([one.mean(0) for one in states]),
        "last_token": np.stack([one[-1] for one in states]),
    }
    for kernel in ("packed", "sdpa"):
        for pooling, expected in pooled.items():
            made = backend(tmp_path / "made", pooling, attention=kernel, device="cpu")
            close(embedded(made, prompts_of(ROWS)), expected)
            assert made.packed is (kernel == "packed")


def test_the_two_attentions_differ(base, tmp_path):
    one, _ = trained(base, tmp_path / "one", attention="causal")
    other, _ = trained(base, tmp_path / "other", attention="bidirectional")
    assert max(np.abs(a - b).max() for a, b in zip(one, other, strict=True)) > 0.1


def test_transformers_reads_a_product(base, tmp_path):
    _, logits = trained(base, tmp_path / "made")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "made").eval()
    all_close(logits_of(found), logits)
    tokens = AutoTokenizer.from_pretrained(tmp_path / "made")
    assert [tokens(text)["input_ids"] for text in sentences(5)] == ROWS
    assert {file.name for file in (tmp_path / "made").iterdir()} >= {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    }


def test_half_precision(base, tmp_path):
    _, logits = trained(base, tmp_path / "made", dtype="float16")
    tensors = load_file(tmp_path / "made" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "made", dtype=torch.float32).eval()
    for one, other in zip(logits_of(found), logits, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.01, atol=0.02)
    assert (tmp_path / "made" / "model.safetensors").stat().st_size < 30_000


def test_only_adapters_are_trained(base):
    before = {name: one.clone() for name, one in loaded(base).named_parameters()}
    decoder = Decoder(loaded(base), step("mntp", text="-", lora_rank=2))
    assert len(decoder.trained) == 2 * 7 * 2  # A and B of seven matrices in two layers
    assert all("lora_" in name for name in decoder.trained)
    # 4 of 16 x 16 and 3 of 16 x 24, twice.
    assert sum(one.numel() for one in decoder.trained.values()) == 2 * 2 * (4 * 32 + 3 * 40)
    rest = {
        name.replace(".base_layer", ""): one
        for name, one in decoder.network.named_parameters()
        if "lora_" not in name
    }
    assert rest.keys() == before.keys()
    assert all(torch.equal(one, before[name]) for name, one in rest.items())


def test_new_adapters_change_nothing(base):
    plain = Decoder(loaded(base), step("mntp", text="-"))
    adapted = Decoder(loaded(base), step("mntp", text="-", lora_rank=2))
    all_close(states_of(adapted), states_of(plain))


def test_adapters_read_by_peft_and_merged_are_the_same(base, tmp_path):
    before = (base / "model.safetensors").read_bytes()
    states, logits = trained(base, tmp_path / "made", attention="causal", lora_rank=2)
    plain = loaded(base).eval()
    assert np.abs(logits_of(plain)[0] - logits[0]).max() > 0.1
    found = PeftModel.from_pretrained(plain, str(tmp_path / "made" / "adapter"))
    all_close(logits_of(found.eval()), logits)
    # Merged, a matrix is rounded once more, and logits here are sums of large numbers.
    all_close(logits_of(loaded(tmp_path / "made").eval()), logits, tolerance=2e-4)
    expected = np.stack([one.mean(0) for one in states])
    for path in (tmp_path / "made", tmp_path / "made" / "adapter"):
        close(embedded(backend(path, device="cpu"), prompts_of(ROWS)), expected)
    settings = json.loads((tmp_path / "made" / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(base)
    assert (base / "model.safetensors").read_bytes() == before


def test_adapters_trained_bidirectionally_are_told_so(base, tmp_path):
    states, _ = trained(base, tmp_path / "made", lora_rank=2)
    expected = np.stack([one.mean(0) for one in states])
    given = {"attention": "bidirectional"}
    adapter = backend(tmp_path / "made" / "adapter", device="cpu", model=given)
    close(embedded(adapter, prompts_of(ROWS)), expected)
    close(embedded(backend(tmp_path / "made", device="cpu"), prompts_of(ROWS)), expected)


@pytest.fixture(scope="module")
def adapted(base, tmp_path_factory):
    """An adapter of the base model."""
    folder = tmp_path_factory.mktemp("adapted") / "made"
    trained(base, folder, attention="causal", lora_rank=2)
    return folder / "adapter"


def test_adapters_on_a_model_that_has_some(base, adapted, tmp_path):
    states, _ = trained(
        *(base, tmp_path / "made"),
        base=None,
        model={"adapters": [str(adapted)]},
        attention="causal",
        lora_rank=3,
        seed=1,
    )
    expected = np.stack([one.mean(0) for one in states])
    close(embedded(backend(tmp_path / "made", device="cpu"), prompts_of(ROWS)), expected)
    both = {"adapters": [str(adapted), str(tmp_path / "made" / "adapter")]}
    close(embedded(backend(base, device="cpu", model=both), prompts_of(ROWS)), expected)
    settings = json.loads((tmp_path / "made" / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == ""


def test_all_weights_of_a_model_with_merged_adapters_are_trained(base, adapted):
    plain, merged = loaded(base), loaded(base, adapters=[str(adapted)])
    decoders = [Decoder(one, step("mntp", text="-")) for one in (plain, merged)]
    names = [set(decoder.trained) for decoder in decoders]
    assert names[0] == names[1]
    assert len(names[0]) == len(dict(plain.named_parameters()))


def test_what_is_left_out_of_training():
    def frozen(kind, *, tied, **settings):
        decoder = Decoder(network(tied=tied), step(kind, text="-", **settings))
        return {name for name, _ in decoder.network.named_parameters()} - set(decoder.trained)

    tokens, head = "model.embed_tokens.weight", "lm_head.weight"
    assert frozen("mntp", tied=True) == frozen("mntp", tied=False) == set()
    assert frozen("simcse", tied=True) == set()
    assert frozen("simcse", tied=False) == {head}  # no loss reads it
    assert frozen("mntp", tied=True, train_embeddings=False) == {tokens}
    assert frozen("simcse", tied=False, train_embeddings=False) == {tokens, head}


def test_embeddings_and_head_by_what_they_are():
    def found(network, **settings):
        decoder = Decoder(network, step("mntp", text="-", **settings))
        names = {id(one): name for name, one in network.named_parameters()}
        tables = [names[id(one)] for one in decoder.trained_embeddings]
        head = decoder.trained_head
        return tables, None if head is None else names[id(head)]

    tokens = "model.embed_tokens.weight"
    assert found(network(tied=True)) == ([tokens], tokens)
    assert found(network(tied=False)) == ([tokens], "lm_head.weight")
    assert found(network(tied=False), train_embeddings=False) == ([], None)
    assert found(network(tied=False), lora_rank=2) == ([], None)
    shape = {"vocab_size": 9, "n_positions": 8, "n_embd": 4, "n_layer": 1, "n_head": 1}
    other = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **shape))
    tables = ["transformer.wte.weight", "transformer.wpe.weight"]
    assert found(other, attention=None) == (tables, tables[0])


def test_dropout_is_on_while_training_and_not_in_the_product(base, tmp_path):
    decoder = Decoder(loaded(base), step("simcse", text="-", dropout=0.4))
    decoder.network.train()
    assert np.abs(states_of(decoder)[0] - states_of(decoder)[0]).max() > 1e-3
    save(decoder, tokenizer(), tmp_path / "made", dtype="float32", base=None)
    settings = json.loads((tmp_path / "made" / "config.json").read_text())
    assert settings.get("attention_dropout", 0.0) == 0.0


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("opt", {"dropout": 0.4, "attention_dropout": 0.4, "layerdrop": 0.5, "ffn_dim": 24}),
        ("gpt2", {"resid_pdrop": 0.4, "attn_pdrop": 0.4, "embd_pdrop": 0.4}),
        ("llama", {"attention_dropout": 0.4, "intermediate_size": 24}),
    ],
)
def test_dropout_is_as_set_whatever_the_architecture_had(kind, own):
    config = AutoConfig.for_model(
        kind,
        vocab_size=300,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        word_embed_proj_dim=16,
        max_position_embeddings=64,
        **own,
    )
    decoder = Decoder(AutoModelForCausalLM.from_config(config), step("mntp", text="-"))
    decoder.network.train()
    all_close(states_of(decoder), states_of(decoder), tolerance=0)
    decoder = Decoder(decoder.network, step("simcse", text="-", dropout=0.4))
    assert np.abs(states_of(decoder)[0] - states_of(decoder)[0]).max() > 1e-3


def test_gradient_checkpointing_changes_no_gradient(base):
    found = []
    for checkpointing in (False, True):
        config = step("mntp", text="-", gradient_checkpointing=checkpointing)
        decoder = Decoder(loaded(base), config)
        assert decoder.network.is_gradient_checkpointing is checkpointing
        decoder.network.train()
        decoder.states(torch.tensor([ROWS[0]]), None).square().mean().backward()
        found.append({n: one.grad for n, one in decoder.trained.items() if one.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient)


def test_a_folder_that_a_killed_process_was_writing(base, tmp_path):
    left = tmp_path / "made" / ".new-abc"
    left.mkdir(parents=True)
    (left / "config.json").write_text("{}")
    trained(base, tmp_path / "made")
    assert not [file for file in (tmp_path / "made").iterdir() if file.name.startswith(".new-")]


def test_a_product_that_cannot_be_written_leaves_no_model(base, tmp_path, monkeypatch):
    decoder = Decoder(loaded(base), step("mntp", text="-"))

    def full(*given, **named):
        raise OSError(28, "No space left on device", "made")

    monkeypatch.setattr(type(tokenizer()), "save_pretrained", full)
    with pytest.raises(OSError, match="No space"):
        save(decoder, tokenizer(), tmp_path / "made", dtype="float32", base=None)
    assert list((tmp_path / "made").iterdir()) == []


def test_settings_of_generation_that_could_not_be_written_are_left(base, tmp_path):
    published = tmp_path / "published"
    shutil.copytree(base, published)
    own = {"temperature": 0.6, "top_p": 0.9, "do_sample": False}
    (published / "generation_config.json").write_text(json.dumps(own))
    with pytest.raises(ValueError, match="temperature"):
        loaded(published).save_pretrained(tmp_path / "as it is")
    trained(published, tmp_path / "made")
    assert "temperature" not in (tmp_path / "made" / "generation_config.json").read_text()


def test_a_model_is_not_written_over(base, tmp_path, refusal):
    def refused(folder, start=None):
        return refusal(lambda: refuse_to_replace(folder, start=start))

    (tmp_path / "link").symlink_to(base)
    assert "is the model that this starts from" in refused(tmp_path / "link", base)
    assert "holds another model; name another folder" in refused(tmp_path / "link")
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model-00001.safetensors").touch()
    assert "holds another model" in refused(weights)
    for begun in ("training.json", ".checkpoint", "log.jsonl"):
        (weights / begun).touch()
        refuse_to_replace(weights, start=base)
        (weights / begun).unlink()
    refuse_to_replace(tmp_path / "none", start=base)


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("gemma2", {"final_logit_softcapping": 0.5, "head_dim": 8}),
        ("granite", {"logits_scaling": 4.0}),
        ("cohere", {"logit_scale": 0.25}),
        ("llama", {}),
    ],
)
def test_logits_are_those_of_the_model(kind, own):
    shape = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "pad_token_id": 0}
    shape |= {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape, **own)).eval()
    with torch.no_grad():
        network.get_output_embeddings().weight.mul_(20)
    decoder = Decoder(network, step("mntp", text="-", attention=None))
    tokens = torch.tensor([[3, 1, 4, 1, 5]])
    found = decoder.logits(decoder.states(tokens, None))
    torch.testing.assert_close(found, network(input_ids=tokens).logits)
    assert found.abs().max() > 0.1


def test_what_training_does_not_know_is_refused_by_its_setting(refusal):
    kind = "gemma2"
    shape = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "pad_token_id": 0}
    shape |= {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    network = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape))
    config = step("mntp", text="-", center_head=True)
    assert "train.center_head: this model caps" in refusal(lambda: Decoder(network, config))
    other = AutoModelForCausalLM.from_config(AutoConfig.for_model("cohere", **shape))
    config = step("mntp", text="-")
    assert "train.attention=bidirectional" in refusal(lambda: Decoder(other, config))


def test_records(tmp_path, refusal):
    assert finished(tmp_path, {"seed": 1}) is None
    write_record(tmp_path, {"identity": {"seed": 1, "rate": 0.1}, "loss": 2.0})
    assert finished(tmp_path, {"rate": 0.1, "seed": 1})["loss"] == 2.0
    assert "other settings or data" in refusal(lambda: finished(tmp_path, {"seed": 2}))
    (tmp_path / "training.json").write_text("{")
    assert f"remove {tmp_path}" in refusal(lambda: finished(tmp_path, {"seed": 1}))


def test_what_is_no_decoder_is_refused(base, tmp_path, refusal):
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    tensors = load_file(broken / "model.safetensors")
    from safetensors.torch import save_file

    name = "model.layers.0.mlp.up_proj.weight"
    del tensors[name]
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    assert name in refusal(lambda: loaded(broken))
    (broken / "model.safetensors").write_bytes(b"none")
    assert "no decoder could be loaded" in refusal(lambda: loaded(broken))


def test_a_record_that_is_older_than_a_setting_was_made_with_its_default(tmp_path, refusal):
    write_record(tmp_path, {"identity": {"settings": {"seed": 1}}, "loss": 2.0})
    defaults = {"seed": 0, "rate": 0.5, "other": 3}
    asked = {"settings": {"seed": 1, "rate": 0.5}}
    assert finished(tmp_path, asked, defaults)["loss"] == 2.0
    for settings in ({"seed": 1, "rate": 0.4}, {"seed": 0, "rate": 0.5}):
        message = refusal(lambda one=settings: finished(tmp_path, {"settings": one}, defaults))
        assert "other settings or data" in message
