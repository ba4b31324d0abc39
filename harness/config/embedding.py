"""Text to embedding: model, pooling, instruction, backend."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from omegaconf import ListConfig

from harness.components import ComponentConfig, at_least, component, one_of, require, unscored

_KNOWN = ("{text}", "{instruction}")
_PLACES = re.compile(r"\{\w+\}")


@component("model", "huggingface", "harness.embedding.model:EmbeddingModel")
@dataclass(kw_only=True)
class ModelConfig(ComponentConfig):
    """A Hugging Face model, from a folder, an installed package or the hub.

    A folder with adapters alone (`adapter_config.json` without weights) stands for its base model
    with that adapter.

    Attributes:
        name: `organisation/model`, as in results and tables; from `path` when absent.
        path: A local folder, `pkg://package/folder` inside an installed package, or
            `hub://organisation/model@revision`; without it `name` is looked up on the hub.
        revision: The hub revision of `name`; what `path` names is identified by its content.
        adapters: LoRA adapters in order, each a folder, `pkg://package/folder` or
            `hub://organisation/model@revision`. All but the last are merged into the weights,
            the last is stacked on top, as LLM2Vec does.
        merge_last_adapter: Whether the last adapter is merged too: faster, and in bfloat16 not
            bit-equal.
        backbone: The generative model that it was trained from, where the model itself has lost the
            head: a reference as `path`; heads read their matrix of it.
        attention: `causal` or `bidirectional`; the model's own when absent.
        max_length: Longest input in tokens, template and special tokens included; the model's own
            limit when absent.
        text_max_length: Most tokens of the text alone, template and special tokens not counted.
        text_cut: How a text above that is cut: `tokens` takes off the last ones, `words` drops
            whole words from its end in LLM2Vec's way.
        normalize: Whether the model's embedding is L2-normalised (matters to `similarity=dot`);
            when absent, what a sentence-transformers folder says, else not.
        similarity: How the model's embeddings are compared, `cosine` or `dot`; when absent, what a
            sentence-transformers folder says, else `cosine`.
        trust_remote_code: Whether code shipped with the model may run.
    """

    kind: str = "huggingface"
    name: str | None = None
    path: str | None = None
    revision: str | None = None
    adapters: Any = field(default_factory=list)
    backbone: str | None = None
    merge_last_adapter: bool = False
    attention: str | None = None
    max_length: int | None = None
    text_max_length: int | None = None
    text_cut: str = "tokens"
    normalize: bool | None = None
    similarity: str | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        """Validate."""
        require(
            bool(self.name or self.path), "name: give model.name=org/model or model.path=FOLDER"
        )
        if self.attention is not None:
            one_of("attention", self.attention, ("causal", "bidirectional"))
        if self.similarity is not None:
            one_of("similarity", self.similarity, ("cosine", "dot"))
        at_least("max_length", self.max_length, 8)
        at_least("text_max_length", self.text_max_length, 1)
        given = self.adapters if isinstance(self.adapters, list | ListConfig) else [self.adapters]
        self.adapters = [adapter for adapter in given if adapter is not None]
        require(
            all(isinstance(adapter, str) and adapter for adapter in self.adapters),
            f"adapters={self.adapters} must be folders or hub://organisation/model references",
        )
        one_of("text_cut", self.text_cut, ("tokens", "words"))


@dataclass(kw_only=True)
class PoolingConfig(ComponentConfig):
    """What all poolings share.

    Attributes:
        include_instruction: Whether the tokens before the text are pooled too. What follows the
            text always is.
    """

    needs_first: ClassVar[str | None] = None
    """The special token, `bos`, that a prompt is made to begin with."""
    needs_last: ClassVar[str | None] = None
    """The special token, `eos`, that a prompt is made to end with."""
    copies: ClassVar[int] = 1
    """How often the text stands in its prompt; the last copy counts as the text."""
    reads: ClassVar[str] = "last_hidden_state"
    """The model's output that is pooled: token states, or `logits` over the vocabulary."""

    include_instruction: bool = True


@component("pooling", "auto", "harness.embedding.folder_settings:pooling_of")
@dataclass(kw_only=True)
class AutoPoolingConfig(ComponentConfig):
    """What the model's sentence-transformers folder says, else the mean."""

    kind: str = "auto"


@component("pooling", "mean", "harness.embedding.pooling:MeanPooling")
@dataclass(kw_only=True)
class MeanPoolingConfig(PoolingConfig):
    """The mean of the token states."""

    kind: str = "mean"


@component("pooling", "weighted_mean", "harness.embedding.pooling:WeightedMeanPooling")
@dataclass(kw_only=True)
class WeightedMeanPoolingConfig(PoolingConfig):
    """The mean weighted by position 1, 2, 3, … (SGPT)."""

    kind: str = "weighted_mean"


@component("pooling", "max", "harness.embedding.pooling:MaxPooling")
@dataclass(kw_only=True)
class MaxPoolingConfig(PoolingConfig):
    """The largest value of each dimension over the token states."""

    kind: str = "max"


@component("pooling", "last_token", "harness.embedding.pooling:LastTokenPooling")
@dataclass(kw_only=True)
class LastTokenPoolingConfig(PoolingConfig):
    """The state of the last token, whichever it is."""

    kind: str = "last_token"


@component("pooling", "eos", "harness.embedding.pooling:LastTokenPooling")
@dataclass(kw_only=True)
class EosPoolingConfig(PoolingConfig):
    """The state of the end-of-sequence token, which is appended where the tokenizer adds none."""

    needs_last: ClassVar[str | None] = "eos"

    kind: str = "eos"


@component("pooling", "cls", "harness.embedding.pooling:ClsPooling")
@dataclass(kw_only=True)
class ClsPoolingConfig(PoolingConfig):
    """The state of the first pooled token."""

    kind: str = "cls"


@component("pooling", "bos", "harness.embedding.pooling:ClsPooling")
@dataclass(kw_only=True)
class BosPoolingConfig(PoolingConfig):
    """The state of the beginning-of-sequence token, put in front where the tokenizer adds none."""

    needs_first: ClassVar[str | None] = "bos"

    kind: str = "bos"

    def __post_init__(self) -> None:
        """Validate."""
        require(
            self.include_instruction,
            "include_instruction=false: the beginning of the sequence stands before the text; "
            "use pooling=cls",
        )


@component("pooling", "echo", "harness.embedding.pooling:EchoPooling")
@dataclass(kw_only=True)
class EchoPoolingConfig(PoolingConfig):
    """The text twice, the second copy pooled (Springer et al., arXiv 2402.15449).

    Use a template that holds `{text}` twice, such as `instruction=echo`; one that holds it once is
    given the text, a space and the text again.

    Attributes:
        of: What the second copy and what follows it are pooled by: `mean`, `weighted_mean` or
            `last_token`.
    """

    copies: ClassVar[int] = 2

    kind: str = "echo"
    include_instruction: bool = False
    of: str = "mean"

    def __post_init__(self) -> None:
        """Validate."""
        require(
            not self.include_instruction,
            "include_instruction=true: echo pools the second copy alone; use pooling=mean",
        )
        one_of("of", self.of, ("mean", "weighted_mean", "last_token"))


@component("pooling", "splade", "harness.embedding.pooling:SpladePooling")
@dataclass(kw_only=True)
class SpladePoolingConfig(PoolingConfig):
    """The largest log(1 + relu) of each token's masked-language-model logits: V wide (SPLADE)."""

    reads: ClassVar[str] = "logits"

    kind: str = "splade"


@component("instruction", "auto", "harness.embedding.folder_settings:instruction_of")
@dataclass(kw_only=True)
class AutoInstructionConfig(ComponentConfig):
    """The prompts of the model's sentence-transformers folder, else none."""

    kind: str = "auto"


@component("instruction", "template", "harness.embedding.instructions:Template")
@dataclass(kw_only=True)
class InstructionConfig(ComponentConfig):
    """What surrounds a text before it is tokenised, by side.

    In each template `{text}` stands for the text, once (twice for `pooling=echo`), and
    `{instruction}` for the task's instruction.

    Attributes:
        query: Template of a query.
        document: Template of a document.
        symmetric: Template of both sides of a symmetric task; the query's when absent.
        uninstructed: Template of a side that the task gives no instruction, where its own template
            wants one.
        join: `text` tokenises the whole prompt; `tokens` tokenises what surrounds the text apart
            and puts its tokens around those of the text, so that none merge (SGPT).
        locate: Where the text begins: `offsets` takes the first token with a character of it;
            `count` as many tokens from the end as the text and what follows it have on their own
            (LLM2Vec).
        strip: Whether white space is taken off the text: `none`, `end` or `both`.
        instruction_end: What an instruction is made to end with, in place of its full stop.
    """

    kind: str = "template"
    query: str = "{text}"
    document: str = "{text}"
    symmetric: str | None = None
    uninstructed: str | None = None
    join: str = "text"
    locate: str = "offsets"
    strip: str = "none"
    instruction_end: str = ""

    def __post_init__(self) -> None:
        """Validate."""
        for side in ("query", "document", "symmetric", "uninstructed"):
            template = getattr(self, side)
            if template is None:
                continue
            require(
                template.count("{text}") in (1, 2),
                f"{side}={template!r} must hold {{text}} once (twice for pooling=echo)",
            )
            odd = next((name for name in _PLACES.findall(template) if name not in _KNOWN), None)
            require(
                odd is None, f"{side}={template!r} holds {odd}; {' and '.join(_KNOWN)} are known"
            )
            require(
                template.count("{instruction}") <= 1,
                f"{side}={template!r} holds {{instruction}} more than once",
            )
        require(
            "{instruction}" not in (self.uninstructed or ""),
            f"uninstructed={self.uninstructed!r} holds {{instruction}}",
        )
        one_of("join", self.join, ("text", "tokens"))
        one_of("locate", self.locate, ("offsets", "count"))
        one_of("strip", self.strip, ("none", "end", "both"))


@component("backend", "transformers", "harness.embedding.several_devices:transformers_backend")
@dataclass(kw_only=True)
class TransformersBackendConfig(ComponentConfig):
    """Batched inference with transformers.

    Attributes:
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, `mps`.
        devices: Where several workers encode, a process with a copy of the model each: a list such
            as `[cuda:0,cuda:1]` or `[cpu,cpu]`, or `all` for every GPU of the machine; None for
            `device` alone. Single queries and heads stay on `device`, then the first of them when
            it is `auto`, which holds the model a second time.
        dtype: `auto` (bfloat16 on a GPU, float32 elsewhere), `fastest` (bfloat16 where the device
            has instructions for it, CPUs included), `float32`, `bfloat16`, `float16`; part of the
            result's identity once resolved.
        attention: `auto` puts texts one after the other, without padding, where the architecture
            allows it, and else takes transformers' choice; `packed` refuses where it does not;
            `sdpa`, `eager`, `flash_attention_2` pad.
        token_budget: Tokens in a batch, padding included; found by trying on the first long pass
            and remembered in the store when absent.
        padding_side: `right`, or `left` as published decoders' code pads; no score depends on it.
    """

    kind: str = "transformers"
    device: str = unscored("auto")
    devices: Any = unscored(None)  # noqa: RUF009  # unscored() is a field; Any hides it
    dtype: str = "auto"
    attention: str = unscored("auto")
    token_budget: int | None = unscored(None)
    padding_side: str = unscored("right")

    def __post_init__(self) -> None:
        """Validate."""
        one_of("dtype", self.dtype, ("auto", "fastest", "float32", "bfloat16", "float16"))
        at_least("token_budget", self.token_budget, 1)
        one_of("padding_side", self.padding_side, ("right", "left"))
        if self.devices is not None:
            self._check_devices()

    def _check_devices(self) -> None:
        """Validate the devices by their names, whether they are there or not."""
        if self.devices == "all":
            kinds = {"cuda"}
        else:
            several = isinstance(self.devices, list | ListConfig)
            self.devices = list(self.devices) if several else [self.devices]
            named = bool(self.devices) and all(isinstance(each, str) for each in self.devices)
            require(
                named and not {"all", "auto", ""} & set(self.devices),
                f"devices={self.devices} must be all, or name devices: [cuda:0,cuda:1]",
            )
            kinds = {each.partition(":")[0] for each in self.devices}
        if self.device != "auto":
            kinds.add(self.device.partition(":")[0])
        # Another kind computes other bits, and its `auto` is another dtype.
        require(
            len(kinds) == 1,
            f"devices and device name {' and '.join(sorted(kinds))}; name devices of one kind",
        )
