import pytest

from harness.errors import BadInputError
from harness.evaluation.digests import DIGESTS_FILE, announce, damaged, settle


@pytest.fixture
def files(tmp_path):
    """Two records, as they were announced and settled."""
    texts = {"result": '{"a": 1}\n', "cost": '{"é": 2}\n'}
    found = {name: tmp_path / f"{name}.json" for name in texts}
    announce(tmp_path, texts)
    for name, file in found.items():
        file.write_bytes(texts[name].encode())
    settle(tmp_path, texts)
    return found


def test_what_was_written_is_whole(files, tmp_path):
    assert damaged(tmp_path, files) is None


def test_every_flipped_bit_is_found(files, tmp_path):
    for file in files.values():
        content = file.read_bytes()
        for bit in range(8 * len(content)):
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            file.write_bytes(changed)
            assert damaged(tmp_path, files) == file
        file.write_bytes(content)
    assert damaged(tmp_path, files) is None


def test_every_cut_is_found(files, tmp_path):
    content = files["cost"].read_bytes()
    for size in range(len(content)):
        files["cost"].write_bytes(content[:size])
        assert damaged(tmp_path, files) == files["cost"]


def test_the_old_and_the_new_are_whole_while_a_result_is_replaced(files, tmp_path):
    announce(tmp_path, {"result": "new", "cost": "newer"})
    assert damaged(tmp_path, files) is None
    files["result"].write_text("new")
    assert damaged(tmp_path, files) is None
    files["cost"].write_text("other")
    assert damaged(tmp_path, files) == files["cost"]


def test_the_old_is_no_more_once_a_result_is_replaced(files, tmp_path):
    settle(tmp_path, {"result": "new", "cost": '{"é": 2}\n'})
    assert damaged(tmp_path, files) == files["result"]


def test_results_without_checksums_are_not_checked(files, tmp_path):
    (tmp_path / DIGESTS_FILE).unlink()
    files["cost"].write_text("other")
    assert damaged(tmp_path, files) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"result": "é', '{"result": 5}'])
def test_unreadable_checksums_are_refused_and_replaced(files, tmp_path, text):
    (tmp_path / DIGESTS_FILE).write_text(text)
    with pytest.raises(BadInputError, match=DIGESTS_FILE):
        damaged(tmp_path, files)
    announce(tmp_path, {"result": '{"a": 1}\n', "cost": '{"é": 2}\n'})
    assert damaged(tmp_path, files) is None
