"""CONTRIBUTING.md's recipe for a component, followed to the letter."""

import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]


def code_blocks(section):
    """The indented blocks of a section, dedented."""
    blocks = re.findall(r"\n\n((?: {7}.*\n|\n)+)", section)
    return [textwrap.dedent(block).strip("\n") + "\n" for block in blocks if block.strip()]


def test_add_a_pooling_in_three_places(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.split("## Add a pooling")[1].split("\n## ")[0]
    yaml, dataclass, implementation = code_blocks(section)
    for part in ("harness", "conf"):
        shutil.copytree(ROOT / part, tmp_path / part)
    (tmp_path / "conf/pooling/first_last.yaml").write_text(yaml)
    for name, block in (
        ("harness/config/embedding.py", dataclass),
        ("harness/embedding/pooling.py", implementation),
    ):
        with (tmp_path / name).open("a") as file:
            file.write("\n\n" + block)
    folder = tmp_path / "toy"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        '{"_id": "a", "text": "cats purr"}\n{"_id": "b", "text": "dogs bark"}\n'
    )
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "cats purr"}\n')
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    overrides = ["pooling=first_last", "retrieval=[dense]", "tasks=folder", f"tasks.path={folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", *overrides, "cost=off", "format=json"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert row["value"] == 1.0
    assert "first_last" in row["experiment"]
