"""What makes a dataclass a component: registration, parsing, identity, construction.

Nothing is imported from the rooms; `build` loads the class behind a configuration when it is
wanted.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.errors import BadInputError

C = TypeVar("C")
K = TypeVar("K", bound="ComponentConfig")


_COMPONENTS: dict[str, dict[str, type[ComponentConfig]]] = {}


@dataclass(kw_only=True)
class ComponentConfig:
    """What all component configurations share.

    Attributes:
        kind: Selects the dataclass within its group.
    """

    implementation: ClassVar[str]
    kind: str


def component(group: str, kind: str, implementation: str) -> Callable[[type[K]], type[K]]:
    """Register a dataclass as `kind` of `group`, implemented by `module:Class`."""

    def register(cls: type[K]) -> type[K]:
        cls.implementation = implementation
        _COMPONENTS.setdefault(group, {})[kind] = cls
        return cls

    return register


def build(config: ComponentConfig, **dependencies: Any) -> Any:
    """Import the class behind a component's configuration and construct it.

    Args:
        config: The component's validated configuration.
        dependencies: Keyword arguments that the class takes besides `config`.
    """
    module, name = config.implementation.split(":")
    return getattr(importlib.import_module(module), name)(config, **dependencies)


def unscored(default: Any) -> Any:
    """A field that cannot change a score: it stays out of every identity and hash."""
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy.copy(default), metadata={"identity": False})
    return field(default=default, metadata={"identity": False})


def identity(config: Any) -> dict[str, Any]:
    """The settings of a configuration that can change a score, as plain JSON-able data."""
    return {
        f.name: _plain(getattr(config, f.name))
        for f in dataclasses.fields(config)
        if f.metadata.get("identity", True)
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return identity(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def parse_component(group: str, mapping: Any, *, where: str) -> Any:
    """The validated dataclass of a component given as a mapping with `kind`.

    Args:
        group: The component's group, such as `pooling`.
        mapping: A mapping, for instance from YAML.
        where: The setting's place in the configuration, for error messages.

    Raises:
        BadInputError: Unknown kind, unknown setting, or a value of the wrong type or range.
    """
    kinds = _COMPONENTS[group]
    kind = mapping.get("kind") if isinstance(mapping, Mapping | DictConfig) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise BadInputError(f"{where}.kind={kind!r} is unknown; choose one of: {', '.join(kinds)}")
    return parse(kinds[kind], mapping, where=where)


def parse(cls: type[C], mapping: Any, *, where: str) -> C:
    """A dataclass from a mapping, with types checked and unknown settings refused.

    Raises:
        BadInputError: One line that names the setting.
    """
    if not isinstance(mapping, Mapping | DictConfig):
        raise BadInputError(f"{where or 'the configuration'}={mapping!r} must hold settings")
    if isinstance(mapping, DictConfig) and (missing := sorted(OmegaConf.missing_keys(mapping))):
        setting = ".".join(part for part in (where, missing[0]) if part)
        raise BadInputError(f"{setting} is not set: give {setting}=... on the command line")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(cls), mapping)
        parsed = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        key = error.full_key or _unfit(cls, mapping)
        setting = ".".join(part for part in (where, key) if part)
        reason = str(error.msg or error).splitlines()[0]
        raise BadInputError(
            f"{setting}: {reason}; see `harness run --cfg job` for the settings"
        ) from error
    except ValueError as error:
        prefix = f"{where}." if where else ""
        raise BadInputError(f"{prefix}{str(error).splitlines()[0]}") from error
    assert isinstance(parsed, cls)
    return parsed


def _unfit(cls: type[Any], mapping: Any) -> str:
    """The first setting that a class cannot take, where omegaconf does not name it; else empty."""
    for key in mapping:
        try:
            OmegaConf.merge(OmegaConf.structured(cls), OmegaConf.create({key: mapping[key]}))
        except OmegaConfBaseException:
            return str(key)
    return ""


def require(condition: bool, message: str) -> None:
    """Refuse a configuration with `message` unless `condition` holds."""
    if not condition:
        raise ValueError(message)


def one_of(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of `choices`."""
    require(value in choices, f"{name}={value!r} is unknown; choose one of: {', '.join(choices)}")


def at_least(name: str, value: float | None, least: float) -> None:
    """Refuse a number below `least`, or one that is not finite; None is allowed."""
    if value is not None:
        require(
            math.isfinite(value) and value >= least, f"{name}={value} must be at least {least:g}"
        )
