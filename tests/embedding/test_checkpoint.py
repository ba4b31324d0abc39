"""A model's checkpoint for another engine: links or merged weights, whole, made once."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open

from harness.config import ModelConfig
from harness.embedding import checkpoint as module
from harness.embedding import network
from harness.embedding.checkpoint import checkpoint
from harness.embedding.model import EmbeddingModel
from harness.embedding.network import load_network

TRANSFORMER = "sentence_transformers.models.Transformer"
IDS = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 300, 20, 200]


@pytest.fixture(scope="module")
def folders(tmp_path_factory, golden_tiny):
    root = tmp_path_factory.mktemp("checkpoints")
    golden_tiny.write_model(root / "base", "llama")
    golden_tiny.write_model(root / "other", "mistral")
    for name in ("mntp", "simcse"):
        golden_tiny.write_adapter(root / name, "llama", name=name)
    return root


def model_of(folder, *adapters, **settings):
    named = [str(adapter) for adapter in adapters]
    return EmbeddingModel(ModelConfig(path=str(folder), adapters=named, **settings))


def states(loaded):
    with torch.inference_mode():
        return loaded(torch.tensor([IDS])).last_hidden_state[0].numpy()


def names(folder):
    return sorted(file.name for file in folder.iterdir())


class TestLinks:
    def test_configuration_and_weights_alone(self, folders, tmp_path):
        source = shutil.copytree(folders / "base", tmp_path / "base")
        modules = [{"idx": 0, "name": "0", "path": "", "type": TRANSFORMER}]
        (source / "modules.json").write_text(json.dumps(modules))
        (source / "sentence_bert_config.json").write_text('{"max_seq_length": 3}')
        folder = checkpoint(model_of(source), tmp_path / "cache", dtype="float32")
        assert names(folder) == ["config.json", "model.safetensors"]
        for file in folder.iterdir():
            assert file.is_symlink()
            assert file.resolve() == (source / file.name).resolve()

    def test_shards_and_their_index(self, folders, tmp_path):
        loaded = transformers.AutoModel.from_pretrained(folders / "base")
        loaded.save_pretrained(tmp_path / "shards", max_shard_size="40KB")
        folder = checkpoint(model_of(tmp_path / "shards"), tmp_path / "cache", dtype="float32")
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        shards = set(index["weight_map"].values())
        assert len(shards) > 1
        assert names(folder) == sorted({"config.json", "model.safetensors.index.json", *shards})

    def test_every_dtype_reads_the_same(self, folders, tmp_path):
        first, second = (
            checkpoint(model_of(folders / "base"), tmp_path, dtype=dtype)
            for dtype in ("float32", "bfloat16")
        )
        assert first == second

    def test_a_model_that_has_moved(self, folders, tmp_path):
        source = shutil.copytree(folders / "base", tmp_path / "old")
        old = checkpoint(model_of(source), tmp_path / "cache", dtype="float32")
        moved = source.rename(tmp_path / "new")
        folder = checkpoint(model_of(moved), tmp_path / "cache", dtype="float32")
        assert folder != old
        assert (folder / "config.json").resolve() == (moved / "config.json").resolve()

    def test_dead_links_are_made_anew(self, folders, tmp_path):
        folder = checkpoint(model_of(folders / "base"), tmp_path, dtype="float32")
        (folder / "config.json").unlink()
        (folder / "config.json").symlink_to(tmp_path / "nowhere")
        assert checkpoint(model_of(folders / "base"), tmp_path, dtype="float32") == folder
        assert (folder / "config.json").is_file()


class TestMerged:
    def test_equals_the_merged_chain(self, folders, tmp_path):
        chain = (folders / "base", folders / "mntp", folders / "simcse")
        folder = checkpoint(model_of(*chain), tmp_path, dtype="float32")
        assert json.loads((folder / "config.json").read_text())["architectures"] == ["LlamaModel"]
        found = states(transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval())
        merged = model_of(*chain, merge_last_adapter=True)
        np.testing.assert_array_equal(
            found, states(load_network(merged, dtype="float32", kernel="auto"))
        )
        stacked = states(load_network(model_of(*chain), dtype="float32", kernel="auto"))
        np.testing.assert_allclose(found, stacked, rtol=0, atol=1e-5)
        bare = states(load_network(model_of(chain[0]), dtype="float32", kernel="auto"))
        assert np.abs(found - bare).max() > 0.1

    def test_attention_is_not_part_of_it(self, folders, tmp_path):
        chain = (folders / "base", folders / "mntp")
        folder = checkpoint(model_of(*chain, attention="bidirectional"), tmp_path, dtype="float32")
        assert json.loads((folder / "config.json").read_text()).get("is_causal", True) is True
        assert checkpoint(model_of(*chain), tmp_path, dtype="float32") == folder

    def test_is_saved_in_the_runs_dtype(self, folders, tmp_path):
        folder = checkpoint(
            model_of(folders / "base", folders / "mntp"), tmp_path, dtype="bfloat16"
        )
        with safe_open(folder / "model.safetensors", framework="pt") as tensors:
            dtypes = {tensors.get_tensor(name).dtype for name in tensors.keys()}  # noqa: SIM118
        assert dtypes == {torch.bfloat16}

    def test_a_chain_is_merged_once(self, folders, tmp_path, monkeypatch):
        chain = (folders / "base", folders / "mntp")
        folder = checkpoint(model_of(*chain), tmp_path, dtype="float32")

        def fail(*_, **__):
            raise AssertionError("merged again")

        monkeypatch.setattr(network, "load_network", fail)
        assert checkpoint(model_of(*chain), tmp_path, dtype="float32") == folder
        with pytest.raises(AssertionError, match="merged again"):
            checkpoint(model_of(*chain, folders / "simcse"), tmp_path, dtype="float32")

    def test_every_chain_has_its_own(self, folders, tmp_path):
        chains = [("mntp",), ("simcse",), ("mntp", "simcse"), ("simcse", "mntp")]
        made = {
            module._key(model_of(folders / "base", *(folders / name for name in chain)), dtype)
            for chain in chains
            for dtype in ("float32", "bfloat16")
        }
        assert len(made) == 8

    def test_an_adapter_that_does_not_fit_leaves_nothing(
        self, folders, tmp_path, golden_tiny, refusal
    ):
        golden_tiny.write_adapter(tmp_path / "odd", "llama", name="odd")
        settings = json.loads((tmp_path / "odd" / "adapter_config.json").read_text())
        settings["r"] = 3
        (tmp_path / "odd" / "adapter_config.json").write_text(json.dumps(settings))
        cache = tmp_path / "cache"
        odd = model_of(folders / "base", tmp_path / "odd")
        assert "odd" in refusal(lambda: checkpoint(odd, cache, dtype="float32"))
        assert [name for name in names(cache) if not name.endswith(".lock")] == []

    def test_what_a_killed_writer_has_left_goes(self, folders, tmp_path):
        merged = model_of(folders / "base", folders / "mntp")
        left = tmp_path / f".{module._key(merged, 'float32')}.abc.tmp"
        left.mkdir()
        (left / "model.safetensors").write_bytes(b"half")
        folder = checkpoint(merged, tmp_path, dtype="float32")
        assert not left.exists()
        assert names(folder)[:1] == ["config.json"]

    def test_no_room(self, folders, tmp_path, refusal):
        (tmp_path / "cache").write_text("a file")
        message = refusal(
            lambda: checkpoint(model_of(folders / "base"), tmp_path / "cache", dtype="float32")
        )
        assert "cannot be written" in message
        assert "store_dir" in message
