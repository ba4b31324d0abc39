"""Bytes on disk."""

import pytest

from harness.cost.disk import disk_bytes


@pytest.fixture
def index(tmp_path):
    folder = tmp_path / "index"
    (folder / "shards").mkdir(parents=True)
    (folder / "ids").write_bytes(b"x" * 7)
    (folder / "shards" / "0").write_bytes(b"x" * 5000)
    (folder / "empty").touch()
    return folder


def test_files_and_folders_add_up(index, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"x" * 100)
    assert disk_bytes(index) == 5007
    assert disk_bytes(index / "ids") == 7
    assert disk_bytes([index, other]) == 5107
    assert disk_bytes([]) == 0


def test_a_file_that_is_met_twice_counts_once(index, tmp_path):
    (index / "hard").hardlink_to(index / "ids")
    (index / "soft").symlink_to(index / "ids")
    assert disk_bytes([index, index / "ids", index / "shards"]) == 5007


def test_links_to_files_are_followed_and_links_to_folders_are_not(index, tmp_path):
    blob = tmp_path / "blob"
    blob.write_bytes(b"x" * 30)
    (index / "weights").symlink_to(blob)
    (index / "loop").symlink_to(index)
    assert disk_bytes(index) == 5037
    assert disk_bytes(index / "loop") == 5037


def test_what_is_missing_is_an_error(index, tmp_path):
    with pytest.raises(FileNotFoundError):
        disk_bytes(tmp_path / "absent")
    (index / "dangling").symlink_to(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        disk_bytes(index)
