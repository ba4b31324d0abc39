"""Tiny decoder folders for the golden vectors: the same bytes in every environment.

Only numpy, safetensors and JSON are used, so that the environment of the reference packages
(transformers 4.44.2) and the project's own build equal weights, configurations and tokenizers.
"""

import hashlib
import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

HERE = Path(__file__).parent
HIDDEN = 32
INTERMEDIATE = 48
LAYERS = 2
HEADS = 4
KV_HEADS = 2
HEAD_DIM = HIDDEN // HEADS
RANK = 4

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {
        "architectures": ["LlamaForCausalLM"],
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
    },
    "mistral": {
        "architectures": ["MistralForCausalLM"],
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "sliding_window": None,
        "tie_word_embeddings": False,
    },
    "qwen2": {
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "use_sliding_window": False,
        "tie_word_embeddings": False,
    },
    "gemma": {
        "architectures": ["GemmaForCausalLM"],
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
        "head_dim": HEAD_DIM,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "attention_bias": False,
        "tie_word_embeddings": True,
    },
}

PROJECTIONS: dict[str, tuple[int, int]] = {  # name in a layer: rows, columns
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
    "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
    "mlp.up_proj": (INTERMEDIATE, HIDDEN),
    "mlp.down_proj": (HIDDEN, INTERMEDIATE),
}


def tokenizer(architecture: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of `tokenizer.json` and `tokenizer_config.json`.

    llama reads bytes after `<|begin_of_text|>`, qwen2 bytes with nothing in front and digits one
    by one; mistral reads SentencePiece-like pieces after `<s>`, gemma the same after `<bos>`.
    """
    kind = "bytelevel" if architecture in ("llama", "qwen2") else "metaspace"
    text = (HERE / f"tokenizer_{kind}.json").read_text(encoding="utf-8")
    if architecture == "gemma":
        text = text.replace('"<s>"', '"<bos>"').replace('"</s>"', '"<eos>"')
    content = json.loads(text)
    if architecture == "qwen2":  # as transformers 5 builds it, whatever the file says
        content["normalizer"] = {"type": "NFC"}
        words = content["pre_tokenizer"]["pretokenizers"][0]["pattern"]
        words["Regex"] = words["Regex"].replace(r"\p{N}{1,3}", r"\p{N}")
        content["model"]["ignore_merges"] = False
        content["post_processor"] = content["post_processor"]["processors"][0]
    bos, eos = {
        "llama": ("<|begin_of_text|>", "<|end_of_text|>"),
        "mistral": ("<s>", "</s>"),
        "qwen2": (None, "<|endoftext|>"),
        "gemma": ("<bos>", "<eos>"),
    }[architecture]
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    if kind == "metaspace":
        settings["unk_token"] = "<unk>"
    return content, settings


def config(architecture: str) -> dict[str, Any]:
    """The content of `config.json`."""
    content, settings = tokenizer(architecture)
    ids = {token["content"]: token["id"] for token in content["added_tokens"]}
    return {
        "model_type": architecture,
        **ARCHITECTURES[architecture],
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": 512,
        "vocab_size": 1 + max(*content["model"]["vocab"].values(), *ids.values()),
        "bos_token_id": ids.get(settings["bos_token"]),
        "eos_token_id": ids[settings["eos_token"]],
        "pad_token_id": None,
        "torch_dtype": "float32",
    }


def weights(architecture: str) -> dict[str, np.ndarray]:
    """The model's tensors, each drawn from its own name."""
    vocabulary = config(architecture)["vocab_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    if not ARCHITECTURES[architecture]["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocabulary, HIDDEN)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        for name, shape in PROJECTIONS.items():
            shapes[f"{prefix}.{name}.weight"] = shape
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{prefix}.{name}.weight"] = (HIDDEN,)
        if architecture == "qwen2":
            for name in ("q_proj", "k_proj", "v_proj"):
                rows, _ = PROJECTIONS[f"self_attn.{name}"]
                shapes[f"{prefix}.self_attn.{name}.bias"] = (rows,)
    tensors = {}
    for name, shape in shapes.items():
        is_norm = name.endswith("norm.weight")
        middle = 1.0 if is_norm and architecture != "gemma" else 0.0  # gemma scales by 1 + weight
        tensors[name] = draw(f"{architecture}/{name}", shape, 0.1 if is_norm else 0.2, middle)
    return tensors


def draw(seed: str, shape: tuple[int, ...], deviation: float, middle: float = 0.0) -> np.ndarray:
    """Uniform float32 numbers of a standard deviation, from a generator seeded by a string."""
    digest = hashlib.sha256(seed.encode()).digest()
    uniform = np.random.default_rng(int.from_bytes(digest[:8], "big")).random(prod(shape))
    return (middle + (2 * uniform - 1) * (deviation * 3**0.5)).astype(np.float32).reshape(shape)


def write_model(folder: Path, architecture: str) -> None:
    """Writes a model folder: configuration, float32 weights and tokenizer.

    Args:
        folder: where to; it is made when it is not there.
        architecture: llama, mistral, qwen2 or gemma.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content, settings = tokenizer(architecture)
    _write_json(folder / "config.json", config(architecture))
    _write_json(folder / "tokenizer.json", content)
    _write_json(folder / "tokenizer_config.json", settings)
    _write_tensors(folder / "model.safetensors", weights(architecture))


def write_adapter(folder: Path, architecture: str, *, name: str, base: str = "") -> None:
    """Writes a PEFT LoRA adapter for the bare backbone.

    Args:
        folder: where to; it is made when it is not there.
        architecture: the backbone's.
        name: seeds the weights, so that two names make two adapters.
        base: `base_model_name_or_path`, the folder of the model that the adapter changes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base,
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.05,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": [module.split(".")[1] for module in PROJECTIONS],
    }
    tensors = {}
    for layer in range(LAYERS):
        for module, (rows, columns) in PROJECTIONS.items():
            key = f"base_model.model.layers.{layer}.{module}"
            for part, shape in (("lora_A", (RANK, columns)), ("lora_B", (rows, RANK))):
                seed = f"{architecture}/{name}/{key}.{part}.weight"
                tensors[f"{key}.{part}.weight"] = draw(seed, shape, 0.2)
    _write_json(folder / "adapter_config.json", settings)
    _write_tensors(folder / "adapter_model.safetensors", tensors)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _write_tensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    path.write_bytes(save(tensors, metadata={"format": "pt"}))
