"""What a task asks for, in words, for templates that hold an instruction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.embedding.instructions import TaskInstruction

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

DEFAULT = "default"


def task_instruction(task: AbsTask, texts: Mapping[str, Any]) -> TaskInstruction:
    """A task's instruction.

    The first of: the configured text of its name (upper and lower case alike; an empty one means
    that it has none), mteb's own prompt of the task, the configured default, mteb's prompt of the
    task's type.

    Args:
        task: An mteb task.
        texts: Task name to a text for queries (and both sides of symmetric tasks), or to a mapping
            of `query` and `document`; see `EncoderRunConfig.task_instructions`.
    """
    by_name = {name.casefold(): text for name, text in texts.items()}
    configured = texts.get(task.metadata.name, by_name.get(task.metadata.name.casefold()))
    fallbacks = (task.metadata.prompt, texts.get(DEFAULT), getattr(task, "abstask_prompt", None))
    # An empty text of one's own means none.
    chosen = configured
    if configured is None:
        chosen = next((text for text in fallbacks if text), "")
    if isinstance(chosen, Mapping):
        query = str(chosen.get("query", ""))
        return TaskInstruction(query=query, document=str(chosen.get("document", "")))
    return TaskInstruction(query=str(chosen))
