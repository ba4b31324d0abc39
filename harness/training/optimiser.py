"""AdamW over named parameters, and its state as tensors that safetensors can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import BadInputError

if TYPE_CHECKING:
    import torch

_MOMENTS = ("exp_avg", "exp_avg_sq")
_BETAS = (0.9, 0.95)
_EMBEDDINGS = ("embed", ".wte.", ".wpe.")  # of tokens and of positions
_HEADS = ("lm_head",)  # decayed as matrices are, but with the rate of embeddings


class Optimiser:
    """AdamW, fused where the device has it; vectors and embeddings are not decayed.

    Adam gives the small gradients of a token that is hardly ever there steps as large as those of
    any other. They all point away from the mean state, so that rare tokens' rows drift into one
    narrow cone (Gao et al. 2019, "Representation degeneration"): embeddings and heads can be given
    a share of the learning rate.

    Args:
        parameters: What is trained, by name.
        weight_decay: Of matrices.
        embedding_rate: The share of the learning rate that embeddings and heads have.
    """

    def __init__(
        self,
        parameters: dict[str, torch.nn.Parameter],
        *,
        weight_decay: float,
        embedding_rate: float = 1.0,
    ) -> None:
        import torch

        self.parameters = parameters
        members: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in parameters.items():
            embedding = any(part in name for part in _EMBEDDINGS)
            decayed = parameter.ndim > 1 and not embedding
            slowed = embedding or any(part in name for part in _HEADS)
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
        self._adam: Any = torch.optim.AdamW(groups, lr=0.0, betas=_BETAS, fused=fused)

    def step(self, learning_rate: float, clip: float) -> float:
        """Move the weights against their gradients, which are then cleared.

        Returns:
            The gradient's 2-norm before clipping.
        """
        import torch

        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), clip)
        for group in self._adam.param_groups:
            group["lr"] = learning_rate * group["share"]
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
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
            for moment in _MOMENTS:
                found[f"{moment}/{name}"] = self._adam.state[parameter][moment]
        return found

    def load(self, state: dict[str, torch.Tensor], steps: int) -> None:
        """Go on from a state after so many steps.

        Raises:
            BadInputError: If it is of other weights.
        """
        import torch

        wanted = {f"{part}/{name}" for name in self.parameters for part in ("weight", *_MOMENTS)}
        if wanted != set(state):
            raise BadInputError(
                "the checkpoint is of other weights; remove the output folder's .checkpoint to "
                "start anew"
            )
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state[f"weight/{name}"])
                self._adam.state[parameter] = {
                    "step": torch.tensor(float(steps), device=parameter.device),
                    **{
                        moment: state[f"{moment}/{name}"].to(parameter.device)
                        for moment in _MOMENTS
                    },
                }
