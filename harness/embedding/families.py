"""What is known of architectures by their `model_type`, beyond what `config.json` says."""

from __future__ import annotations

# Their first position is the one after the padding token's id.
POSITIONS_AFTER_PADDING = (
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert", "mpnet"),
    *("longformer", "data2vec-text", "xmod", "ibert", "luke"),
)
RELATIVE_POSITIONS = ("t5", "mt5", "umt5")

# Attention through transformers' interface, positions from outside, no mask of their own.
PACKABLE_TYPES = (
    *("bert", "roberta", "xlm-roberta", "camembert"),
    *("llama", "mistral", "qwen2", "qwen3", "gemma", "phi3"),
)
