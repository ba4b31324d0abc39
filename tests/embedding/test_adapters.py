"""LoRA chains: merged and stacked as PEFT itself does it, refused where they do not fit."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file, save_file

from harness.config import ModelConfig
from harness.embedding.adapters import adapter_parameters
from harness.embedding.model import EmbeddingModel
from harness.embedding.network import load_network

PROMPTS = [[5, 6, 7], [1], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3], [300, 20, 200]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory, golden_tiny):
    root = tmp_path_factory.mktemp("adapters")
    golden_tiny.write_model(root / "base", "llama")
    for name in ("mntp", "simcse"):
        golden_tiny.write_adapter(root / name, "llama", name=name)
    return root


def load(folder, *adapters, **settings):
    config = ModelConfig(path=str(folder), adapters=[str(path) for path in adapters], **settings)
    return load_network(EmbeddingModel(config), dtype="float32", kernel="auto")


def states(network):
    """Token states of each prompt alone, one after another in one array."""
    with torch.inference_mode():
        rows = [network(torch.tensor([ids])).last_hidden_state[0] for ids in PROMPTS]
    return torch.cat(rows).numpy()


def plain(folder):
    return transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)


def pefts_own(folders):
    """LLM2Vec's chain with PEFT alone: the first adapter merged, the second stacked."""
    merged = PeftModel.from_pretrained(plain(folders / "base"), folders / "mntp").merge_and_unload()
    return PeftModel.from_pretrained(merged, folders / "simcse").eval()


def with_tensors(source, target, change):
    """A copy of an adapter whose tensors went through `change`."""
    shutil.copytree(source, target)
    tensors = load_file(target / "adapter_model.safetensors")
    save_file(change(tensors), target / "adapter_model.safetensors")
    return target


def test_the_chain_equals_pefts_own(folders):
    expected = states(pefts_own(folders))
    found = states(load(folders / "base", folders / "mntp", folders / "simcse"))
    np.testing.assert_array_equal(found, expected)
    base = states(plain(folders / "base").eval())
    assert np.abs(found - base).max() > 0.1


def test_all_merged_equals_stacked(folders):
    network = load(folders / "base", folders / "mntp", folders / "simcse", merge_last_adapter=True)
    assert not any("lora" in name for name, _ in network.named_parameters())
    np.testing.assert_allclose(states(network), states(pefts_own(folders)), rtol=0, atol=1e-5)


def test_one_adapter_is_stacked(folders):
    network = load(folders / "base", folders / "mntp")
    expected = PeftModel.from_pretrained(plain(folders / "base"), folders / "mntp").eval()
    np.testing.assert_array_equal(states(network), states(expected))
    assert any("lora" in name for name, _ in network.named_parameters())


def test_the_order_matters_and_is_kept(folders):
    # r·A·B products add up, so order shows only where rounding does; names must not be swapped.
    first = load(folders / "base", folders / "mntp")
    second = load(folders / "base", folders / "simcse")
    assert np.abs(states(first) - states(second)).max() > 0.1


def test_bidirectional_with_adapters(folders):
    chain = (folders / "mntp", folders / "simcse")
    causal = states(load(folders / "base", *chain))
    both = states(load(folders / "base", *chain, attention="bidirectional"))
    assert np.abs(causal[0] - both[0]).max() > 1e-3
    network = pefts_own(folders)
    with torch.inference_mode():
        rows = [
            network(
                torch.tensor([ids]), attention_mask=torch.zeros(1, 1, len(ids), len(ids))
            ).last_hidden_state[0]
            for ids in PROMPTS
        ]
    np.testing.assert_allclose(both, torch.cat(rows).numpy(), rtol=0, atol=1e-5)


def test_an_adapter_trained_with_a_head_fits_the_backbone(folders, tmp_path):
    longer = with_tensors(
        folders / "mntp",
        tmp_path / "causal-lm",
        lambda tensors: {
            name.replace("base_model.model.", "base_model.model.model."): tensor
            for name, tensor in tensors.items()
        },
    )
    settings = json.loads((longer / "adapter_config.json").read_text()) | {"task_type": "CAUSAL_LM"}
    (longer / "adapter_config.json").write_text(json.dumps(settings))
    expected = states(load(folders / "base", folders / "mntp"))
    np.testing.assert_array_equal(states(load(folders / "base", longer)), expected)


def with_settings(source, target, **settings):
    """A copy of an adapter with other settings."""
    shutil.copytree(source, target)
    known = json.loads((target / "adapter_config.json").read_text())
    (target / "adapter_config.json").write_text(json.dumps(known | settings))
    return target


@pytest.mark.parametrize("outer", ["", "model."])
def test_per_module_settings_are_kept(folders, tmp_path, outer):
    alpha = {f"{outer}layers.0.self_attn.q_proj": 64}
    own = with_settings(
        folders / "mntp", tmp_path / "own", alpha_pattern={"layers.0.self_attn.q_proj": 64}
    )
    expected = states(PeftModel.from_pretrained(plain(folders / "base"), own).eval())
    given = with_settings(folders / "mntp", tmp_path / "given", alpha_pattern=alpha)
    if outer:
        given = with_tensors(
            given,
            tmp_path / "renamed",
            lambda tensors: {
                name.replace("base_model.model.", "base_model.model.model."): tensor
                for name, tensor in tensors.items()
            },
        )
    np.testing.assert_array_equal(states(load(folders / "base", given)), expected)
    assert np.abs(expected - states(load(folders / "base", folders / "mntp"))).max() > 0.1


class TestAdapterFolderAsModel:
    """`model.path` names an adapter: its base model is found, its tokenizer is its own."""

    @pytest.fixture
    def published(self, folders, tmp_path):
        """As LLM2Vec's repositories: adapter, config.json and tokenizer, no weights."""
        folder = tmp_path / "published"
        shutil.copytree(folders / "mntp", folder)
        for file in (folders / "base").iterdir():
            if file.suffix == ".json":
                shutil.copy(file, folder)
        settings = json.loads((folder / "adapter_config.json").read_text())
        settings["base_model_name_or_path"] = str(folders / "base")
        (folder / "adapter_config.json").write_text(json.dumps(settings))
        return folder

    def test_it_stands_for_its_base_with_the_adapter(self, published, folders):
        expected = states(load(folders / "base", folders / "mntp"))
        np.testing.assert_array_equal(states(load(published)), expected)

    def test_more_adapters_go_on_top(self, published, folders):
        expected = states(pefts_own(folders))
        np.testing.assert_array_equal(states(load(published, folders / "simcse")), expected)

    def test_head_and_tokenizer(self, published, folders):
        model = EmbeddingModel(ModelConfig(path=str(published)))
        assert model.folder == folders / "base"
        assert model.tokenizer_folder == published
        assert model.find_tensor(("lm_head.weight",)) is not None
        assert model.name == "local/published"

    @pytest.mark.parametrize(
        ("base", "said"),
        [
            ("nobody/nothing", "'nobody/nothing' is neither in the local hub cache nor reachable"),
            (None, "names no base model"),
            ("", "names no base model"),
        ],
    )
    def test_a_base_that_is_nowhere(self, published, hub, base, said, refusal):
        settings = json.loads((published / "adapter_config.json").read_text())
        settings["base_model_name_or_path"] = base
        (published / "adapter_config.json").write_text(json.dumps(settings))
        message = refusal(lambda: EmbeddingModel(ModelConfig(path=str(published))).folder)
        assert said in message
        assert f"give model.path=BASE model.adapters=[{published}]" in message
        assert f"{published}=FOLDER" not in message


class TestIdentity:
    def hash(self, *adapters, folders):
        config = ModelConfig(path=str(folders / "base"), adapters=[str(path) for path in adapters])
        return EmbeddingModel(config).weights_hash

    def test_adapters_and_their_order_are_part_of_it(self, folders):
        mntp, simcse = folders / "mntp", folders / "simcse"
        chains = [(), (mntp,), (simcse,), (mntp, simcse), (simcse, mntp)]
        assert len({self.hash(*chain, folders=folders) for chain in chains}) == len(chains)

    def test_the_place_is_not(self, folders, tmp_path):
        copy = shutil.copytree(folders / "mntp", tmp_path / "elsewhere")
        assert self.hash(copy, folders=folders) == self.hash(folders / "mntp", folders=folders)


class TestRefusals:
    def test_another_backbones_adapter(self, folders, tmp_path, refusal):
        stranger = with_tensors(
            folders / "mntp",
            tmp_path / "stranger",
            lambda tensors: {
                name.replace("layers.1", "layers.7"): t for name, t in tensors.items()
            },
        )
        message = refusal(lambda: load(folders / "base", stranger))
        assert "layers.7" in message
        assert "another backbone" in message

    def test_missing_tensors(self, folders, tmp_path, refusal):
        torn = with_tensors(
            folders / "mntp",
            tmp_path / "torn",
            lambda tensors: {name: t for name, t in tensors.items() if "q_proj" not in name},
        )
        assert "q_proj" in refusal(lambda: load(folders / "base", torn))

    def test_other_widths(self, folders, tmp_path, refusal):
        wide = with_tensors(
            folders / "mntp",
            tmp_path / "wide",
            lambda tensors: {name: torch.cat([t, t], 1) for name, t in tensors.items()},
        )
        assert str(wide) in refusal(lambda: load(folders / "base", wide))

    @pytest.mark.parametrize(
        ("remove", "said"),
        [
            ("adapter_config.json", "holds no adapter_config.json"),
            ("adapter_model.safetensors", "pickle files are never loaded"),
        ],
    )
    def test_files_that_are_not_there(self, folders, tmp_path, remove, said, refusal):
        copy = shutil.copytree(folders / "mntp", tmp_path / "copy")
        (copy / remove).unlink()
        assert said in refusal(lambda: load(folders / "base", copy))

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"use_dora": True}, "use_dora"),
            ({"bias": "all"}, "bias=all"),
            ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
            ({"alpha_pattern": {"layers.9.self_attn.q_proj": 8}}, "layers.9.self_attn.q_proj"),
            ({"rank_pattern": ["a"]}, "cannot be put on the model"),
            ({"target_modules": "("}, "cannot be put on the model"),
        ],
    )
    def test_what_is_not_supported(self, folders, tmp_path, refusal, settings, said):
        odd = with_settings(folders / "mntp", tmp_path / "odd", **settings)
        assert said in refusal(lambda: load(folders / "base", odd))

    def test_a_whole_matrix_beside_the_pairs(self, folders, tmp_path, refusal):
        odd = with_tensors(
            folders / "mntp",
            tmp_path / "odd",
            lambda tensors: (
                tensors
                | {"base_model.model.layers.0.self_attn.q_proj.weight": torch.full((32, 32), 3.0)}
            ),
        )
        assert "q_proj.weight, which is not supported" in refusal(
            lambda: load(folders / "base", odd)
        )

    def test_an_adapter_beside_whole_weights(self, folders, tmp_path, refusal):
        # transformers would put it on by itself
        folder = shutil.copytree(folders / "base", tmp_path / "both")
        for file in (folders / "mntp").iterdir():
            shutil.copy(file, folder)
        assert "holds weights and adapter_config.json" in refusal(lambda: load(folder))

    def test_damaged_weights(self, folders, tmp_path, refusal):
        copy = shutil.copytree(folders / "mntp", tmp_path / "copy")
        (copy / "adapter_model.safetensors").write_bytes(b"\0" * 40)
        assert str(copy) in refusal(lambda: load(folders / "base", copy))

    def test_another_kind_of_adapter(self, folders, tmp_path, refusal):
        copy = shutil.copytree(folders / "mntp", tmp_path / "copy")
        settings = json.loads((copy / "adapter_config.json").read_text())
        (copy / "adapter_config.json").write_text(json.dumps(settings | {"peft_type": "IA3"}))
        assert "only LORA" in refusal(lambda: load(folders / "base", copy))


def test_parameters_are_counted(folders):
    tensors = load_file(folders / "mntp" / "adapter_model.safetensors")
    assert adapter_parameters(folders / "mntp") == sum(t.numel() for t in tensors.values())
