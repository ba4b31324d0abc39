"""Which head `auto` stands for."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from harness.alignment.linear import lm_head_names
from harness.alignment.mlm import has_mlm_head
from harness.config import (
    AutoHeadConfig,
    ComponentConfig,
    DerivedHeadConfig,
    IdentityHeadConfig,
    LmHeadConfig,
    MlmHeadConfig,
    RidgeHeadConfig,
    parse_component,
)

if TYPE_CHECKING:
    from harness.config import PoolingConfig
    from harness.embedding.model import EmbeddingModel


def head_of(
    config: ComponentConfig, model: EmbeddingModel, pooling: PoolingConfig
) -> ComponentConfig:
    """The head that `auto` stands for, inside another head too; any other one as it is.

    What pools to token weights has them as its head; else the model's masked-language-model head
    is taken, its own LM head (which, of an encoder-decoder, reads the decoder's states and not
    ours), or the closed-form one.

    Raises:
        BadInputError: If a head cannot be made of the one that `auto` stands for.
    """
    if isinstance(config, DerivedHeadConfig):
        of = head_of(config.of, model, pooling)
        resolved: ComponentConfig = parse_component(
            "head", {**asdict(config), "of": asdict(of)}, where="head"
        )
        return resolved
    if not isinstance(config, AutoHeadConfig):
        return config
    if pooling.reads == "logits":
        return IdentityHeadConfig()
    if has_mlm_head(model.folder, model.settings):
        return MlmHeadConfig()
    generates_from_states = not model.settings.get("is_encoder_decoder")
    if generates_from_states and model.find_tensor(lm_head_names(model.settings)) is not None:
        return LmHeadConfig()
    return RidgeHeadConfig()
