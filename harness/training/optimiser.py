"""AdamW or Muon over named parameters, and their state as tensors that safetensors can hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import BadInputError

if TYPE_CHECKING:
    import torch

_ADAM = ("exp_avg", "exp_avg_sq")
_MUON = ("momentum_buffer",)
_BETAS = (0.9, 0.95)
_MOMENTUM = 0.95


class Optimiser:
    """AdamW, fused where the device has it; vectors and embeddings are not decayed.

    Adam gives the small gradients of a token that is hardly ever there steps as large as those of
    any other. They all point away from the mean state, so that rare tokens' rows drift into one
    narrow cone (Gao et al. 2019, "Representation degeneration"): embeddings and heads can be given
    a share of the learning rate, and a head's mean row can be taken out after each step, which its
    softmax does not notice (Stollenwerk et al. 2026, "Output embedding centering", mu-centering).

    Muon (Jordan et al. 2024) moves matrices by their momentum with all singular values made about
    1, in steps as long as AdamW's (Liu et al. 2025, "Muon is scalable", section 2.2). Embeddings,
    heads and vectors stay with AdamW.

    Args:
        parameters: What is trained, by name.
        weight_decay: Of matrices.
        embedding_rate: The share of the learning rate that embeddings and heads have.
        muon: Whether matrices are moved by Muon.
        embeddings: Of the parameters those that are tables of tokens or positions.
        head: Of the parameters the unembedding matrix (V, d); it may be one of the embeddings. One
            of its own is decayed as matrices are. None where it is not trained.
        center_head: Whether the head's mean row is taken out after each step.
    """

    def __init__(
        self,
        parameters: dict[str, torch.nn.Parameter],
        *,
        weight_decay: float,
        embedding_rate: float = 1.0,
        muon: bool = False,
        embeddings: Sequence[torch.Tensor] = (),
        head: torch.nn.Parameter | None = None,
        center_head: bool = False,
    ) -> None:
        import torch

        self.parameters = parameters
        self._centred = head if center_head else None
        tables = {id(table) for table in embeddings}
        members: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        matrices: dict[str, torch.nn.Parameter] = {}
        for name, parameter in parameters.items():
            embedding = id(parameter) in tables
            decayed = parameter.ndim > 1 and not embedding
            slowed = embedding or parameter is head
            if muon and parameter.ndim == 2 and not slowed:
                matrices[name] = parameter
            else:
                members.setdefault((decayed, slowed), []).append(parameter)
        groups = [
            {
                "params": group,
                "weight_decay": weight_decay if decayed else 0.0,
                "share": embedding_rate if slowed else 1.0,
            }
            for (decayed, slowed), group in members.items()
        ]
        fused = {parameter.device.type for parameter in parameters.values()} <= {"cpu", "cuda"}
        by_adam: Any = None
        if groups:
            by_adam = torch.optim.AdamW(groups, lr=0.0, betas=_BETAS, fused=fused)
        by_muon: Any = None
        if matrices:
            by_muon = torch.optim.Muon(
                [{"params": list(matrices.values()), "share": 1.0}],
                lr=0.0,
                weight_decay=weight_decay,
                momentum=_MOMENTUM,
                adjust_lr_fn="match_rms_adamw",
            )
        self._parts = [part for part in (by_adam, by_muon) if part is not None]
        # The optimiser of each parameter, and the moments that it keeps.
        self._moved_by: dict[str, tuple[Any, tuple[str, ...]]] = {
            name: (by_muon, _MUON) if name in matrices else (by_adam, _ADAM) for name in parameters
        }

    def step(self, learning_rate: float, clip: float) -> float:
        """Move the weights against their gradients, which are then cleared.

        Returns:
            The gradient's 2-norm before clipping.
        """
        import torch

        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), clip)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = learning_rate * group["share"]
            part.step()
            part.zero_grad(set_to_none=True)
        if self._centred is not None:
            with torch.no_grad():
                self._centred.sub_(self._centred.mean(dim=0))
        return float(norm)

    def gradients(self) -> list[torch.Tensor]:
        """All gradients, zeros where this process has made none: every weight takes every step."""
        import torch

        for parameter in self.parameters.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return [
            parameter.grad for parameter in self.parameters.values() if parameter.grad is not None
        ]

    def state(self) -> dict[str, torch.Tensor]:
        """Weights and moments, by name."""
        found = {}
        for name, parameter in self.parameters.items():
            found[f"weight/{name}"] = parameter.detach()
            part, moments = self._moved_by[name]
            found |= {f"{moment}/{name}": part.state[parameter][moment] for moment in moments}
        return found

    def load(self, state: dict[str, torch.Tensor], steps: int) -> None:
        """Go on from a state after so many steps.

        Raises:
            BadInputError: If it is of other weights.
        """
        import torch

        wanted = {
            f"{kept}/{name}"
            for name, (_, moments) in self._moved_by.items()
            for kept in ("weight", *moments)
        }
        if wanted != set(state):
            raise BadInputError(
                "the checkpoint is of other weights; remove the output folder's .checkpoint to "
                "start anew"
            )
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state[f"weight/{name}"])
                part, moments = self._moved_by[name]
                part.state[parameter] = {
                    "step": torch.tensor(float(steps), device=parameter.device),
                    **{
                        moment: state[f"{moment}/{name}"].to(parameter.device) for moment in moments
                    },
                }
