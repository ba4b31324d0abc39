"""Distributions as pip leaves them, for tests: files, metadata and a record of both."""

from __future__ import annotations

from pathlib import Path


def install(
    folder: Path,
    name: str,
    files: dict[str, str],
    *,
    licence: str = "License-Expression: MIT",
    description: str = "",
) -> None:
    """Put a distribution of version 1.0 into a folder, as `pip install --target` does."""
    information = f"{name.replace('-', '_')}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{licence}\n\n{description}"
    everything = {**files, f"{information}/METADATA": metadata}
    for path, text in everything.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    record = "".join(f"{path},,\n" for path in [*everything, f"{information}/RECORD"])
    (folder / information / "RECORD").write_text(record, encoding="utf-8")
