"""What the makers of the golden vectors share: the texts and the form of the files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

HERE = Path(__file__).parent
TEXTS = [
    "lighthouse",
    "The harbour froze over in the winter of 1963.",
    "when the snow melts in the mountains, the river carries the water past three villages and an"
    " old mill before it reaches the sea",
    "naïve café in Zürich, 東京の夜 🌊",
    "  two spaces before, three after   ",
    "3 ships left, 2 came back",
    "one line\nand another\n\nand a last one\n",
    "?!... -- (;)",
]


class Prompts:
    """Batches of token ids, each kept once under the name of the first case that read it."""

    def __init__(self) -> None:
        self.batches: dict[str, list[list[int]]] = {}

    def name(self, case: str, batch: list[list[int]]) -> str:
        """The name under which the batch is kept; the case's own when it is a new one."""
        for known, other in self.batches.items():
            if other == batch:
                return known
        self.batches[case] = batch
        return case


def write(stem: str, vectors: dict[str, np.ndarray], description: dict[str, Any]) -> None:
    """Writes `stem`.safetensors and `stem`.json beside this file."""
    (HERE / f"{stem}.safetensors").write_bytes(save(vectors))
    (HERE / f"{stem}.json").write_text(render(description, depth=2) + "\n", encoding="utf-8")


def render(value: Any, depth: int) -> str:
    """JSON with an object's entries on lines of their own down to a depth, compact below it."""
    if depth == 0 or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    entries = (f"{json.dumps(key)}: {render(entry, depth - 1)}" for key, entry in value.items())
    return "{\n" + ",\n".join(entries) + "\n}"
