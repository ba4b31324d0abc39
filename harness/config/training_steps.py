"""The steps of `harness train`: what each is told."""

from __future__ import annotations

from dataclasses import dataclass

from harness.components import (
    ComponentConfig,
    at_least,
    component,
    one_of,
    require,
    unscored,
)

DTYPES = ("float32", "bfloat16", "float16")
POOLINGS = ("mean", "weighted_mean", "last_token")


@dataclass(kw_only=True)
class StepConfig(ComponentConfig):
    """What all steps that train a network share.

    Attributes:
        epochs: How often the data are read; a fraction reads a part of them.
        learning_rate: The highest one.
        warmup: The share of steps over which it rises.
        weight_decay: Of matrices; vectors and embeddings have none.
        clip: Longest gradient, in the 2-norm over all weights.
        batch_tokens: Most tokens in a batch, padding included.
        max_length: Longest text in tokens; longer ones are cut.
        dtype: What is multiplied in: `float32`, or `bfloat16` by autocast; `auto` takes bfloat16
            where the device has instructions for it. Weights are float32 in any case.
        attention: `causal` or `bidirectional`; the model's own when absent.
        dropout: Of attention weights, and of the architecture's own dropout where it has any.
        lora_rank: Of the adapters that are trained on all linear layers; 0 trains all weights.
        lora_alpha: Scale of the adapters.
        train_embeddings: Whether token embeddings and the head, tied to them or not, are trained
            too, where all weights are.
        embedding_rate: The learning rate of embeddings and of the head, as a share of
            `learning_rate`. Below 1 it keeps the rows of rare tokens from drifting all one way.
        center_head: Whether the mean row is taken out of the head after each step, where the head
            is trained. Its softmax is the same without, and rows do not drift all one way. Rows of
            a tied head are token embeddings too, which lose the same vector.
        optimiser: `adamw`, or `muon` for the matrices of layers (AdamW for the rest), with the
            same `learning_rate`.
        gradient_checkpointing: Less memory for a third more computation.
        held_out: The share of texts, some 512 at most, that this step is not trained on and that
            give its validation score.
        validate_every: Steps between two validations.
        checkpoint_seconds: Time between two checkpoints, from which a killed step goes on.
        save_dtype: Of the weights that are written.
        seed: Of every draw.
    """

    epochs: float = 1.0
    learning_rate: float = 1e-4
    warmup: float = 0.05
    weight_decay: float = 0.01
    clip: float = 1.0
    batch_tokens: int = 8192
    max_length: int = 256
    dtype: str = "auto"
    attention: str | None = None
    dropout: float = 0.0
    lora_rank: int = 0
    lora_alpha: float = 32.0
    train_embeddings: bool = True
    embedding_rate: float = 1.0
    center_head: bool = False
    optimiser: str = "adamw"
    gradient_checkpointing: bool = unscored(False)
    held_out: float = 0.01
    validate_every: int = unscored(200)
    checkpoint_seconds: float = unscored(120.0)
    save_dtype: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate."""
        for name in ("epochs", "learning_rate", "clip", "embedding_rate"):
            at_least(name, getattr(self, name), 0)
            require(getattr(self, name) > 0, f"{name} must be above 0")
        for name in ("weight_decay", "lora_rank", "lora_alpha", "seed", "checkpoint_seconds"):
            at_least(name, getattr(self, name), 0)
        at_least("batch_tokens", self.batch_tokens, 8)
        at_least("max_length", self.max_length, 8)
        at_least("validate_every", self.validate_every, 1)
        for name in ("warmup", "dropout", "held_out"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name}={value} must be at least 0 and below 1")
        one_of("optimiser", self.optimiser, ("adamw", "muon"))
        one_of("dtype", self.dtype, ("auto", *DTYPES[:2]))
        one_of("save_dtype", self.save_dtype, DTYPES)
        if self.attention is not None:
            one_of("attention", self.attention, ("causal", "bidirectional"))


@component("train", "pretrain", "harness.training.causal:CausalObjective")
@dataclass(kw_only=True)
class PretrainConfig(StepConfig):
    """A new Llama and its tokenizer, from text: next token prediction.

    Attributes:
        text: JSON lines with a `text` each.
        vocabulary: Tokens of the byte pair encoding, trained on the same text.
        layers: Of the decoder.
        width: Of token states.
        heads: Of attention.
        inner_width: Of the feed-forward layers.
        positions: Longest input that the model can be given.
        tied: Whether the head is the token embeddings.
        embedding_deviation: Standard deviation that token embeddings are drawn with.
    """

    kind: str = "pretrain"
    text: str
    vocabulary: int = 12288
    layers: int = 8
    width: int = 256
    heads: int = 4
    inner_width: int = 704
    positions: int = 512
    tied: bool = True
    embedding_deviation: float = 0.02
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.1
    batch_tokens: int = 4096

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        at_least("vocabulary", self.vocabulary, 261)  # bytes and special tokens
        for name in ("layers", "width", "heads", "inner_width", "positions"):
            at_least(name, getattr(self, name), 1)
        require(
            self.embedding_deviation > 0,
            f"embedding_deviation={self.embedding_deviation} must be above 0",
        )
        require(
            self.width % self.heads == 0 and self.width // self.heads % 2 == 0,
            f"width={self.width} must be a multiple of heads={self.heads}, an even number each",
        )
        require(
            self.max_length <= self.positions,
            f"max_length={self.max_length} is above positions={self.positions}",
        )
        require(
            self.attention != "bidirectional",
            "attention=bidirectional shows a token the one that it is to predict; leave it out",
        )
        require(self.lora_rank == 0, "lora_rank: a new model has nothing to adapt; leave it at 0")


@dataclass(kw_only=True)
class MaskingConfig(StepConfig):
    """What steps that predict masked tokens share.

    Attributes:
        mask_probability: Of a token to be chosen, that is to be predicted.
        hidden_share: Of the chosen tokens that the mask stands for.
        random_share: Of those that a random token stands for; the rest stay, and are predicted
            where they are seen.
        mask_token: What stands for a hidden token; the tokenizer's own mask when absent, else `_`.
    """

    mask_probability: float = 0.2
    hidden_share: float = 0.8
    random_share: float = 0.1
    mask_token: str | None = None

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        require(
            0 < self.mask_probability < 1,
            f"mask_probability={self.mask_probability} must be above 0 and below 1",
        )
        for name in ("hidden_share", "random_share"):
            at_least(name, getattr(self, name), 0)
        require(
            self.hidden_share + self.random_share <= 1,
            f"hidden_share={self.hidden_share} and random_share={self.random_share} must not be "
            "above 1 together",
        )


@component("train", "mntp", "harness.training.mntp:MaskedObjective")
@dataclass(kw_only=True)
class MntpConfig(MaskingConfig):
    """Masked next token prediction (LLM2Vec): the state at i-1 predicts the masked token i.

    Attributes:
        text: JSON lines with a `text` each.
    """

    kind: str = "mntp"
    text: str
    attention: str | None = "bidirectional"


@dataclass(kw_only=True)
class EmbeddingStepConfig(StepConfig):
    """What steps that train the embedding itself share.

    Attributes:
        pooling: `mean`, `weighted_mean` or `last_token` of the token states.
        batch_size: Pairs in a batch: each is set against all others.
        temperature: What cosines are divided by.
        chunk_tokens: Most tokens that gradients are computed for at once; larger batches are
            embedded in parts (gradient caching), with the same result, but that dropout has other
            draws where it is below 4,096.
    """

    pooling: str = "mean"
    batch_size: int = 128
    temperature: float = 0.05
    chunk_tokens: int = unscored(32768)
    attention: str | None = "bidirectional"

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        one_of("pooling", self.pooling, POOLINGS)
        at_least("batch_size", self.batch_size, 2)
        require(
            self.batch_tokens == StepConfig.batch_tokens,
            "batch_tokens: a batch of this step has batch_size pairs; leave batch_tokens out",
        )
        at_least("chunk_tokens", self.chunk_tokens, 8)
        require(self.temperature > 0, f"temperature={self.temperature} must be above 0")


@component("train", "simcse", "harness.training.contrastive:SimcseObjective")
@dataclass(kw_only=True)
class SimcseConfig(EmbeddingStepConfig):
    """Unsupervised SimCSE: a text under two draws of dropout is its own pair.

    Attributes:
        text: JSON lines with a `text` each.
    """

    kind: str = "simcse"
    text: str
    dropout: float = 0.3
    learning_rate: float = 3e-5
    max_length: int = 128

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        require(self.dropout > 0, "dropout=0 makes both copies of a text equal; SimCSE needs some")


@component("train", "contrastive", "harness.training.contrastive:PairsObjective")
@dataclass(kw_only=True)
class ContrastiveConfig(EmbeddingStepConfig, MaskingConfig):
    """Supervised contrastive training on pairs, with in-batch and hard negatives.

    With `mntp_weight` above 0 the loss of masked next token prediction is added, so that states
    still predict tokens through the head.

    Attributes:
        pairs: JSON lines with `query` and `positive`, and a list `negatives` where there are any.
        negatives: Hard negatives of each pair that are read, at most.
        both_ways: Whether documents must find their queries as well.
        query_max_length: Longest query in tokens.
        mntp_weight: Of the mean loss of masked tokens, beside the contrastive loss.
        mntp_texts: Documents of a batch whose tokens are masked and predicted, at most.
    """

    kind: str = "contrastive"
    pairs: str
    negatives: int = 1
    both_ways: bool = True
    query_max_length: int = 64
    mntp_weight: float = 0.0
    mntp_texts: int = 16

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        at_least("mntp_weight", self.mntp_weight, 0)
        at_least("mntp_texts", self.mntp_texts, 1)
        at_least("negatives", self.negatives, 0)
        at_least("query_max_length", self.query_max_length, 4)
