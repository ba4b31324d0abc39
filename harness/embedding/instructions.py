"""Instruction templates: what surrounds a text, by side, and the task's instruction within it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.config import InstructionConfig

Side = Literal["query", "document", "symmetric"]
_PLACES = re.compile(r"(\{text\}|\{instruction\})")


@dataclass(frozen=True)
class TaskInstruction:
    """What a task asks for, in words.

    Attributes:
        query: For queries, and both sides of a symmetric task; empty for none.
        document: For documents; empty for none.
    """

    query: str
    document: str = ""

    def of(self, side: Side) -> str:
        """The text for a side."""
        return self.document if side == "document" else self.query


class Template:
    """What is put around a text, by side."""

    def __init__(
        self,
        config: InstructionConfig,
        *,
        task: TaskInstruction | None = None,
        copies: int = 1,
    ) -> None:
        """Bind a template to a task.

        Args:
            config: The templates.
            task: What `{instruction}` stands for.
            copies: How often the pooling wants the text; a template that holds it once is given
                the text, a space and the text again.

        Raises:
            BadInputError: If a template holds the text more often than that.
        """
        self.config = config
        self.task = task
        self.copies = copies
        for name in ("query", "document", "symmetric", "uninstructed"):
            template = getattr(config, name)
            if template is not None and template.count("{text}") > copies:
                raise BadInputError(
                    f"instruction.{name}={template!r} holds {{text}} twice; use pooling=echo"
                )
        if copies > 1 and config.join == "tokens":
            raise BadInputError("instruction.join=tokens holds one copy of the text, not an echo")

    @property
    def wants_instruction(self) -> bool:
        """Whether any side holds `{instruction}`."""
        return any(
            "{instruction}" in self._template(side) for side in ("query", "document", "symmetric")
        )

    def for_task(self, task: TaskInstruction) -> Template:
        """The same template with another task's instruction."""
        return Template(self.config, task=task, copies=self.copies)

    def pieces(self, side: Side) -> tuple[str, ...]:
        """What stands before, between and after the copies of the text.

        Raises:
            BadInputError: If the side wants an instruction, the task has none, and there is no
                template without one.
        """
        template = self._template(side)
        instruction = ""
        if "{instruction}" in template:
            instruction = self._instruction(side)
            if not instruction:
                if self.config.uninstructed is None:
                    raise BadInputError(
                        f"the template of a {side} holds {{instruction}} and the task has none; "
                        "give ++task_instructions.default=TEXT"
                    )
                template = self.config.uninstructed
        if template.count("{text}") < self.copies:
            template = template.replace("{text}", "{text} {text}")
        pieces = [""]
        for part in _PLACES.split(template):
            if part == "{text}":
                pieces.append("")
            else:
                pieces[-1] += instruction if part == "{instruction}" else part
        return tuple(pieces)

    def strip(self, text: str) -> str:
        """A text as it is put into the prompt."""
        if self.config.strip == "both":
            return text.strip()
        return text.rstrip() if self.config.strip == "end" else text

    def identity(self, side: Side, *, located: bool) -> dict[str, Any]:
        """What of a side's template can change an embedding, JSON-able.

        Args:
            side: Which template.
            located: Whether it matters where the text begins.
        """
        pieces = self.pieces(side)
        settings: dict[str, Any] = {"pieces": list(pieces), "strip": self.config.strip}
        if len(pieces) > 2 or any(pieces):
            settings |= {"join": self.config.join}
        return settings | ({"locate": self.config.locate} if located else {})

    def _template(self, side: Side) -> str:
        if side == "symmetric":
            return self.config.symmetric or self.config.query
        return self.config.query if side == "query" else self.config.document

    def _instruction(self, side: Side) -> str:
        instruction = self.task.of(side).strip() if self.task else ""
        end = self.config.instruction_end
        if end and instruction and not instruction.endswith(end):
            instruction = instruction.strip(".") + end
        return instruction
