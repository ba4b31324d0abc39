"""Tiny random models of many architectures on disk, and what their token states should be.

The expected states come from plain transformers (eager, one text at a time, no padding) with masks
made by hand, or from a forward pass written here with numpy.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HIDDEN = 32
HEADS = 4
HEAD_DIM = HIDDEN // HEADS
POSITIONS = 40  # longest prompt of every tiny model
THETA = 10_000.0

TEXTS = (
    "",
    "x",
    "The quick brown fox jumps over the lazy dog.",
    "Zażółć gęślą jaźń",
    "漢字かな交じり文 👩‍👩‍👧‍👦",
    "The cat sat on the mat.",
    "supercalifragilistic expialidocious " * 20,
    "the the the the the the",
    "  two spaces  ",
    "The cat sat on the mat.",
    "literal </s> and <pad> and [SEP]",
)


@dataclass(frozen=True)
class Vocabulary:
    """Special tokens in the order of their ids, which of them are what, and where they are put."""

    tokens: tuple[str, ...]
    roles: dict[str, str]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def id(self, role: str) -> int | None:
        """The id of `bos`, `eos`, `pad`, …"""
        return self.tokens.index(self.roles[role]) if role in self.roles else None


VOCABULARIES = {
    "llama": Vocabulary(("<unk>", "<s>", "</s>"), {"bos": "<s>", "eos": "</s>"}, ("<s>",)),
    "qwen": Vocabulary(("<|endoftext|>",), {"eos": "<|endoftext|>", "pad": "<|endoftext|>"}),
    "gpt2": Vocabulary(("<|endoftext|>",), {"bos": "<|endoftext|>", "eos": "<|endoftext|>"}),
    "gemma": Vocabulary(
        ("<pad>", "<eos>", "<bos>", "<unk>"),
        {"bos": "<bos>", "eos": "<eos>", "pad": "<pad>"},
        ("<bos>",),
    ),
    "opt": Vocabulary(
        ("<s>", "<pad>", "</s>"), {"bos": "</s>", "eos": "</s>", "pad": "<pad>"}, ("</s>",)
    ),
    "bert": Vocabulary(
        ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
        ("[CLS]",),
        ("[SEP]",),
    ),
    "roberta": Vocabulary(
        ("<s>", "<pad>", "</s>", "<unk>"),
        {"bos": "<s>", "eos": "</s>", "pad": "<pad>", "cls": "<s>", "sep": "</s>"},
        ("<s>",),
        ("</s>",),
    ),
    "t5": Vocabulary(("<pad>", "</s>", "<unk>"), {"eos": "</s>", "pad": "<pad>"}, (), ("</s>",)),
}


@dataclass(frozen=True)
class Architecture:
    """How a tiny model is configured.

    Attributes:
        config: transformers' configuration class.
        vocabulary: A name in `VOCABULARIES`.
        options: What is configured beside the sizes that all share.
        windows: The sliding window of each layer, None where a layer sees everything.
        masks: How the network takes masks made by hand: `one` for all layers, `by_type` of layer,
            or `none` at all.
    """

    config: Any
    vocabulary: str
    options: dict[str, Any]
    windows: tuple[int | None, ...] = (None, None)
    masks: str = "one"


_GROUPED = {
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "max_position_embeddings": POSITIONS,
}
_ROTARY = {"rope_parameters": {"rope_type": "default", "rope_theta": THETA}}
_GEMMA = {**_GROUPED, "head_dim": HEAD_DIM, "query_pre_attn_scalar": HEAD_DIM}
_ALTERNATING = {"layer_types": ["sliding_attention", "full_attention"]}
_GPT2 = {"n_embd": HIDDEN, "n_layer": 2, "n_head": HEADS, "n_positions": POSITIONS}
_BERT = {
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "max_position_embeddings": POSITIONS,
}
# Its positions are counted from the padding token's id, 1.
_ROBERTA = {**_BERT, "max_position_embeddings": POSITIONS + 2}

DECODERS = {
    "llama": Architecture(transformers.LlamaConfig, "llama", {**_GROUPED, **_ROTARY}),
    "mistral": Architecture(
        transformers.MistralConfig,
        "llama",
        {**_GROUPED, **_ROTARY, "sliding_window": 3},
        windows=(3, 3),
    ),
    "mistral_full": Architecture(
        transformers.MistralConfig, "llama", {**_GROUPED, **_ROTARY, "sliding_window": None}
    ),
    "qwen2": Architecture(
        transformers.Qwen2Config, "qwen", {**_GROUPED, **_ROTARY}, masks="by_type"
    ),
    "qwen2_sliding": Architecture(
        transformers.Qwen2Config,
        "qwen",
        {**_GROUPED, **_ROTARY, **_ALTERNATING, "use_sliding_window": True, "sliding_window": 4},
        windows=(4, None),
        masks="by_type",
    ),
    "qwen3": Architecture(
        transformers.Qwen3Config,
        "qwen",
        {**_GROUPED, **_ROTARY, "head_dim": HEAD_DIM},
        masks="by_type",
    ),
    "gemma": Architecture(
        transformers.GemmaConfig, "gemma", {**_GROUPED, **_ROTARY, "head_dim": HEAD_DIM}
    ),
    "gemma2": Architecture(
        transformers.Gemma2Config,
        "gemma",
        {**_GEMMA, **_ROTARY, **_ALTERNATING, "sliding_window": 3, "attn_logit_softcapping": None},
        windows=(3, None),
        masks="by_type",
    ),
    "gemma3_text": Architecture(
        transformers.Gemma3TextConfig,
        "gemma",
        {**_GEMMA, **_ALTERNATING, "sliding_window": 4},
        windows=(4, None),
        masks="by_type",
    ),
    "phi3": Architecture(
        transformers.Phi3Config, "llama", {**_GROUPED, **_ROTARY, "sliding_window": None}
    ),
    "phi3_sliding": Architecture(
        transformers.Phi3Config,
        "llama",
        {**_GROUPED, **_ROTARY, "sliding_window": 5},
        windows=(5, 5),
    ),
    "gpt_neo": Architecture(
        transformers.GPTNeoConfig,
        "gpt2",
        {
            "hidden_size": HIDDEN,
            "num_layers": 2,
            "num_heads": HEADS,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 4,
            "max_position_embeddings": POSITIONS,
        },
        windows=(None, 4),
        masks="none",
    ),
    "opt": Architecture(
        transformers.OPTConfig,
        "opt",
        {
            "hidden_size": HIDDEN,
            "ffn_dim": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": HEADS,
            "max_position_embeddings": POSITIONS,
            "word_embed_proj_dim": HIDDEN,
        },
    ),
    "gpt2": Architecture(transformers.GPT2Config, "gpt2", _GPT2),
}

ENCODERS = {
    "bert": Architecture(transformers.BertConfig, "bert", _BERT),
    "roberta": Architecture(transformers.RobertaConfig, "roberta", _ROBERTA),
    "xlm-roberta": Architecture(transformers.XLMRobertaConfig, "roberta", _ROBERTA),
    "camembert": Architecture(transformers.CamembertConfig, "roberta", _ROBERTA),
    "mpnet": Architecture(transformers.MPNetConfig, "roberta", _ROBERTA),
    "distilbert": Architecture(
        transformers.DistilBertConfig,
        "bert",
        {
            "dim": HIDDEN,
            "hidden_dim": 48,
            "n_layers": 2,
            "n_heads": HEADS,
            "max_position_embeddings": POSITIONS,
        },
    ),
    "electra": Architecture(
        transformers.ElectraConfig, "bert", {**_BERT, "embedding_size": HIDDEN // 2}
    ),
    "albert": Architecture(
        transformers.AlbertConfig, "bert", {**_BERT, "embedding_size": HIDDEN // 2}
    ),
    "modernbert": Architecture(
        transformers.ModernBertConfig, "bert", {**_BERT, **_ALTERNATING, "local_attention": 8}
    ),
    "t5": Architecture(
        transformers.T5Config,
        "t5",
        {"d_model": HIDDEN, "d_kv": HEAD_DIM, "d_ff": 48, "num_layers": 2, "num_heads": HEADS},
    ),
}

OTHERS = {
    "gpt_neox": Architecture(
        transformers.GPTNeoXConfig,
        "gpt2",
        {key: value for key, value in _GROUPED.items() if key != "num_key_value_heads"},
    ),
    "bloom": Architecture(
        transformers.BloomConfig, "gpt2", {"hidden_size": HIDDEN, "n_layer": 2, "n_head": HEADS}
    ),
    "embeddinggemma": Architecture(
        transformers.Gemma3TextConfig,
        "gemma",
        {
            **_GEMMA,
            **_ALTERNATING,
            "sliding_window": 6,
            "use_bidirectional_attention": True,
        },
        windows=(4, None),  # 6 // 2 + 1, exclusive
        masks="by_type",
    ),
    "gemma2_capped": Architecture(
        transformers.Gemma2Config,
        "gemma",
        {**_GEMMA, **_ROTARY, **_ALTERNATING, "sliding_window": 3, "attn_logit_softcapping": 1.0},
        windows=(3, None),
        masks="by_type",
    ),
}

ARCHITECTURES = {**DECODERS, **ENCODERS, **OTHERS}


def model_folder(root: Path, name: str) -> Path:
    """The folder of a tiny model under a root, made when it is first asked for."""
    folder = root / "tiny-architectures" / name
    if not folder.is_dir():
        write_model(folder, ARCHITECTURES[name])
    return folder


def write_model(folder: Path, architecture: Architecture) -> None:
    """Write a tiny random model and its tokenizer."""
    vocabulary = VOCABULARIES[architecture.vocabulary]
    tokenizer = _trained(vocabulary)
    folder.mkdir(parents=True)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=POSITIONS,
        **{f"{role}_token": token for role, token in vocabulary.roles.items()},
    ).save_pretrained(folder)
    config = architecture.config(
        vocab_size=tokenizer.get_vocab_size(),
        **{f"{role}_token_id": vocabulary.id(role) for role in ("bos", "eos", "pad")},
        **architecture.options,
    )
    _save_random(config, folder)


def _trained(vocabulary: Vocabulary) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=340,
            min_frequency=1,
            special_tokens=list(vocabulary.tokens),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    steps = [processors.ByteLevel(trim_offsets=True)]
    if vocabulary.before or vocabulary.after:
        steps.append(
            processors.TemplateProcessing(
                single=" ".join([*vocabulary.before, "$A", *vocabulary.after]),
                special_tokens=[
                    (token, vocabulary.tokens.index(token))
                    for token in {*vocabulary.before, *vocabulary.after}
                ],
            )
        )
    tokenizer.post_processor = processors.Sequence(steps)
    return tokenizer


def _save_random(config: Any, folder: Path) -> None:
    """Save a model whose every parameter is random, the norms' and biases' too."""
    state = torch.random.get_rng_state()
    torch.manual_seed(7)
    network = _automatic(config).from_config(config)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(0.25 * noise if parameter.dim() > 1 else parameter + 0.1 * noise)
    network.save_pretrained(folder)
    torch.random.set_rng_state(state)


def _automatic(config: Any) -> Any:
    if config.model_type == "t5":
        return transformers.AutoModelForTextEncoding
    return transformers.AutoModel


def plain_network(folder: Path) -> Any:
    """The network as transformers loads it, with eager attention, in evaluation mode."""
    config = transformers.AutoConfig.from_pretrained(folder)
    return (
        _automatic(config)
        .from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        .eval()
    )


def reach(name: str, attention: str) -> list[tuple[int | None, int]]:
    """How many tokens back and ahead each layer's tokens see; None for all of them."""
    sees = []
    for window in ARCHITECTURES[name].windows:
        # A window counts the token itself, and transformers' bidirectional one does not.
        back = None if window is None else window - 1
        if attention == "causal":
            sees.append((back, 0))
        elif name in ("gpt_neo", "embeddinggemma"):
            sees.append((back, back))
        else:
            sees.append((window, window))
    return sees


def allowed(name: str, attention: str, length: int) -> list[np.ndarray]:
    """Which token (row) sees which (column) in each layer: bool (length, length)."""
    distance = np.arange(length)[None, :] - np.arange(length)[:, None]  # ahead is positive
    return [
        (distance <= (length if ahead is None else ahead))
        & (-distance <= (length if back is None else back))
        for back, ahead in reach(name, attention)
    ]


def masked_states(network: Any, name: str, ids: list[int], masks: list[np.ndarray]) -> np.ndarray:
    """Token states (length, d) of one text from transformers' eager forward under given masks."""
    lowest = torch.finfo(torch.float32).min
    additive = [torch.where(torch.from_numpy(mask), 0.0, lowest)[None, None] for mask in masks]
    given: Any = additive[0]
    if ARCHITECTURES[name].masks == "by_type":
        given = dict(zip(network.config.layer_types, additive, strict=True))
    with torch.inference_mode():
        output = network(
            input_ids=torch.tensor([ids]),
            attention_mask=given,
            position_ids=torch.arange(len(ids))[None],
            use_cache=False,
        )
    return output.last_hidden_state[0].numpy()


def unmasked_states(network: Any, ids: list[int]) -> np.ndarray:
    """Token states (length, d) of one text as transformers computes them unasked."""
    with torch.inference_mode():
        return network(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()


def expected_states(folder: Path, name: str, attention: str) -> Callable[[list[int]], np.ndarray]:
    """A function from token ids to token states that no code of harness takes part in."""
    if attention == "bidirectional" and name == "gpt_neo":
        return lambda ids: gpt_neo_states(folder, ids, allowed(name, attention, len(ids)))
    network = plain_network(folder)
    if attention == "bidirectional":
        return lambda ids: masked_states(network, name, ids, allowed(name, attention, len(ids)))
    return lambda ids: unmasked_states(network, ids)


def llama_states(folder: Path, ids: list[int], masks: list[np.ndarray]) -> np.ndarray:
    """Token states (length, d) of a Llama, by hand."""
    weights = {name: tensor.astype(np.float64) for name, tensor in _tensors(folder).items()}
    epsilon = json.loads((folder / "config.json").read_text())["rms_norm_eps"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * weights[name]

    half = HEAD_DIM // 2
    angle = np.arange(len(ids))[:, None] / THETA ** (np.arange(half) / half)

    def rotated(x: np.ndarray) -> np.ndarray:
        a, b = x[..., :half], x[..., half:]
        return np.concatenate(
            [a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], axis=-1
        )

    x = weights["embed_tokens.weight"][ids]
    for layer, mask in enumerate(masks):
        at = f"layers.{layer}"
        y = norm(x, f"{at}.input_layernorm.weight")
        q, k, v = (
            _heads(y @ weights[f"{at}.self_attn.{part}_proj.weight"].T, HEAD_DIM) for part in "qkv"
        )
        k, v = (np.repeat(part, len(q) // len(part), axis=0) for part in (k, v))
        mixed = _attended(rotated(q) @ rotated(k).swapaxes(1, 2) / HEAD_DIM**0.5, v, mask)
        x = x + mixed @ weights[f"{at}.self_attn.o_proj.weight"].T
        y = norm(x, f"{at}.post_attention_layernorm.weight")
        gate, up = (y @ weights[f"{at}.mlp.{part}_proj.weight"].T for part in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weights[f"{at}.mlp.down_proj.weight"].T
    return norm(x, "norm.weight")


def gpt_neo_states(folder: Path, ids: list[int], masks: list[np.ndarray]) -> np.ndarray:
    """Token states (length, d) of a GPT-Neo, by hand."""
    weights = {name: tensor.astype(np.float64) for name, tensor in _tensors(folder).items()}
    epsilon = json.loads((folder / "config.json").read_text())["layer_norm_epsilon"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    x = weights["wte.weight"][ids] + weights["wpe.weight"][: len(ids)]
    for layer, mask in enumerate(masks):
        at = f"h.{layer}"
        y = norm(x, f"{at}.ln_1")
        q, k, v = (
            _heads(y @ weights[f"{at}.attn.attention.{part}_proj.weight"].T, HEAD_DIM)
            for part in "qkv"
        )
        mixed = _attended(q @ k.swapaxes(1, 2), v, mask)  # GPT-Neo does not scale
        x = x + linear(mixed, f"{at}.attn.attention.out_proj")
        y = linear(norm(x, f"{at}.ln_2"), f"{at}.mlp.c_fc")
        y = 0.5 * y * (1 + np.tanh((2 / np.pi) ** 0.5 * (y + 0.044715 * y**3)))
        x = x + linear(y, f"{at}.mlp.c_proj")
    return norm(x, "ln_f")


def _tensors(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


def _heads(x: np.ndarray, width: int) -> np.ndarray:
    """(length, heads · width) to (heads, length, width)."""
    return x.reshape(len(x), -1, width).swapaxes(0, 1)


def _attended(scores: np.ndarray, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Softmax over what the mask lets through, times the values, heads side by side."""
    scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return (weights @ values).swapaxes(0, 1).reshape(scores.shape[1], -1)
