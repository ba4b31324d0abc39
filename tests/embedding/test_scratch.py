"""Scratch folders, and what killed processes leave."""

import os
import socket
import subprocess
import sys

from harness.embedding.scratch import scratch_folder


def test_goes_with_the_object(tmp_path):
    folder = scratch_folder(tmp_path / "store")
    (found,) = (tmp_path / "store").iterdir()
    assert str(found) == folder.name
    assert found.name.startswith(f"streamed-{socket.gethostname()}-{os.getpid()}-")
    del folder
    assert not list((tmp_path / "store").iterdir())


def test_what_a_killed_process_left_is_removed(tmp_path):
    code = (
        "import os, pathlib, sys; from harness.embedding.scratch import scratch_folder; "
        "kept = scratch_folder(pathlib.Path(sys.argv[1])); "
        "pathlib.Path(kept.name, 'rows').write_text('x'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    others = [tmp_path / "streamed-elsewhere-1-abc", tmp_path / "embeddings"]
    for other in others:
        other.mkdir()
    living = scratch_folder(tmp_path)
    second = scratch_folder(tmp_path)
    kept = sorted(map(str, tmp_path.iterdir()))
    assert kept == sorted([living.name, second.name, *map(str, others)])
