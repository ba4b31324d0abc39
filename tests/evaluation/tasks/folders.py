"""Folders of JSON lines for tests."""

import json
from pathlib import Path


def write(folder: Path, **files) -> Path:
    """JSON lines by split, or one object for `task`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in files.items():
        if name == "task":
            (folder / "task.json").write_text(json.dumps(records))
        else:
            lines = "".join(json.dumps(record) + "\n" for record in records)
            (folder / f"{name}.jsonl").write_text(lines)
    return folder
