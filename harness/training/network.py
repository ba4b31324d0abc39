"""The network that is trained: a decoder with its head, as transformers has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.config import EmbeddingStepConfig
from harness.embedding.adapters import apply_adapters
from harness.embedding.attention import set_attention
from harness.embedding.network import quiet
from harness.errors import BadInputError, brief

if TYPE_CHECKING:
    import torch

    from harness.config import PretrainConfig, StepConfig
    from harness.embedding.model import EmbeddingModel


class Decoder:
    """A causal language model of transformers, with what training reads of it.

    Attributes:
        network: The model with its head; adapters inside, if any are trained.
        peft: PEFT's wrapper around it, None where all weights are trained.
    """

    def __init__(self, network: Any, config: StepConfig) -> None:
        self.peft: Any = None
        backbone = network.base_model
        if config.center_head and getattr(
            network.config.get_text_config(), "final_logit_softcapping", None
        ):
            raise BadInputError(
                "train.center_head: this model caps its logits, which are others without the mean "
                "row; leave it out"
            )
        if config.attention is not None:
            set_attention(backbone, config.attention, setting="train.attention")
        _set_dropout(network, config.dropout)
        if config.gradient_checkpointing:
            network.gradient_checkpointing_enable({"use_reentrant": False})
        if config.lora_rank:
            self.peft = _with_adapters(network, config)
        else:
            _freeze(network, config)
        self.network = network
        self._backbone = backbone

    def states(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Last hidden states, after the final norm.

        Args:
            ids: int64 (batch, length).
            mask: bool (batch, length), False where there is padding; None where there is none.

        Returns:
            (batch, length, d).
        """
        kept = None if mask is None else mask.long()
        states: torch.Tensor = self._backbone(
            input_ids=ids, attention_mask=kept, use_cache=False
        ).last_hidden_state
        return states

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """The model's logits (n, V) of states (n, d), scaled and capped where it does so."""
        logits: torch.Tensor = self.network.get_output_embeddings()(states)
        settings = self.network.config.get_text_config()
        if multiplier := getattr(settings, "logit_scale", None):  # Cohere
            logits = logits * multiplier
        if divisor := getattr(settings, "logits_scaling", None):  # Granite
            logits = logits / divisor
        if cap := getattr(settings, "final_logit_softcapping", None):  # Gemma 2
            logits = cap * (logits / cap).tanh()
        return logits

    @property
    def trained(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that are trained, by name; tied ones once."""
        return {
            name: parameter
            for name, parameter in self.network.named_parameters()
            if parameter.requires_grad
        }

    @property
    def trained_embeddings(self) -> list[torch.Tensor]:
        """The tables of tokens and of positions that are trained, a tied head among them."""
        from torch.nn import Embedding

        tables = [part.weight for part in self.network.modules() if isinstance(part, Embedding)]
        return [table for table in tables if table.requires_grad]

    @property
    def trained_head(self) -> torch.nn.Parameter | None:
        """The head's matrix (V, d), None where it is not trained."""
        head: torch.nn.Parameter = self.network.get_output_embeddings().weight
        return head if head.requires_grad else None


def new_llama(config: PretrainConfig, tokenizer: Any) -> Any:
    """A Llama with weights drawn from the seed.

    Matrices that write into the residual stream are drawn smaller by the root of twice the number
    of layers (GPT-2, section 2.3); token embeddings with a deviation of their own.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(config.seed)
    kind: Any = LlamaForCausalLM
    network = kind(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.width,
            intermediate_size=config.inner_width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=config.positions,
            tie_word_embeddings=config.tied,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.div_((2 * config.layers) ** 0.5)
        tokens = network.get_input_embeddings().weight
        tokens.mul_(config.embedding_deviation / network.config.initializer_range)
    return network


def load_decoder(model: EmbeddingModel) -> Any:
    """A model's network with its head, in float32, adapters merged.

    Raises:
        BadInputError: If it is no decoder with a head, or its weights are incomplete.
    """
    import torch
    from transformers import AutoModelForCausalLM

    automatic: Any = AutoModelForCausalLM

    try:
        with quiet():
            network, report = automatic.from_pretrained(
                model.folder,
                dtype=torch.float32,
                trust_remote_code=model.config.trust_remote_code,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:  # transformers fails in as many ways as configurations do
        raise BadInputError(
            f"no decoder could be loaded from {model.folder}: {brief(error)}; training starts "
            "from a causal language model with its head"
        ) from error
    if report["missing_keys"]:
        raise BadInputError(
            f"the model in {model.folder} lacks {min(report['missing_keys'])}; training starts "
            "from a causal language model with its head"
        )
    if model.adapters:
        backbone = apply_adapters(network.base_model, model.adapters, merge_last=True)
        setattr(network, network.base_model_prefix, backbone)
        network.requires_grad_(True)  # PEFT has frozen what it merged into
    if model.attention is not None:
        set_attention(network.base_model, model.attention)
    return network


def _freeze(network: Any, config: StepConfig) -> None:
    """Leave token embeddings out if asked to, and a head of its own where no loss reads it."""
    tokens, head = network.get_input_embeddings(), network.get_output_embeddings()
    if not config.train_embeddings:
        tokens.requires_grad_(False)
    unread = isinstance(config, EmbeddingStepConfig) and not getattr(config, "mntp_weight", 0)
    unread = unread and head.weight is not tokens.weight
    if unread or not config.train_embeddings:
        head.requires_grad_(False)


def _set_dropout(network: Any, dropout: float) -> None:
    """Dropout of attention weights and of every dropout layer that the architecture has."""
    import torch

    for module in network.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = dropout
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
        if isinstance(getattr(module, "dropout", None), float):  # OPT
            module.dropout = dropout
        if isinstance(getattr(module, "layerdrop", None), float):
            module.layerdrop = 0.0  # whole layers


def _with_adapters(network: Any, config: StepConfig) -> Any:
    """PEFT's wrapper with new adapters on all linear layers but the head, drawn from the seed."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(config.seed)
    settings: Any = LoraConfig
    return get_peft_model(
        network,
        settings(
            r=config.lora_rank,
            lora_alpha=config.lora_alpha,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )
