"""Atomic files and safe names."""

import os
import stat
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.files import file_name, original_name, readable_name, write_atomically, write_text

ANY_TEXT = st.text(st.characters(), max_size=60)  # lone surrogates included
LONG_TEXT = st.text(st.characters(), min_size=100, max_size=400)


class TestWriting:
    def test_new_file_with_parents(self, tmp_path):
        path = tmp_path / "a" / "b" / "file.txt"
        write_text(path, "naïve\n漢字\r\n")
        assert path.read_bytes() == "naïve\n漢字\r\n".encode()
        assert [file.name for file in path.parent.iterdir()] == ["file.txt"]

    def test_replaces(self, tmp_path):
        path = tmp_path / "file"
        write_text(path, "old and long")
        write_text(path, "new")
        assert path.read_text() == "new"

    @pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
    def test_an_error_keeps_the_old_file_and_leaves_nothing_else(self, tmp_path, error):
        path = tmp_path / "file"
        write_text(path, "old")

        def write(temporary):
            temporary.write_text("half")
            raise error

        with pytest.raises(type(error)):
            write_atomically(path, write)
        assert path.read_text() == "old"
        assert [file.name for file in tmp_path.iterdir()] == ["file"]

    def test_a_writer_that_removes_its_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            write_atomically(tmp_path / "file", lambda temporary: temporary.unlink())
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_in_its_place(self, tmp_path):
        (tmp_path / "file").mkdir()
        with pytest.raises(OSError, match="file"):
            write_text(tmp_path / "file", "x")
        assert [file.name for file in tmp_path.iterdir()] == ["file"]

    def test_a_file_where_its_folder_should_be(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match="file"):
            write_text(tmp_path / "file" / "x", "x")

    def test_the_reader_never_sees_half_a_file(self, tmp_path):
        path = tmp_path / "file"
        write_text(path, "a" * 10_000)
        seen = set()
        stop = threading.Event()

        def read():
            while not stop.is_set():
                seen.add(path.read_text())

        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(30):
            write_text(path, "b" * 10_000)
            write_text(path, "a" * 10_000)
        stop.set()
        reader.join()
        assert seen <= {"a" * 10_000, "b" * 10_000}

    def test_permissions_follow_the_umask(self, tmp_path):
        before = os.umask(0o027)
        try:
            write_text(tmp_path / "file", "x")
            assert os.umask(0o027) == 0o027
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640

    @pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "🎉" * 63])
    def test_the_longest_names_that_file_systems_allow(self, tmp_path, name):
        write_text(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"


class TestFileName:
    @pytest.mark.parametrize(
        ("name", "escaped"),
        [
            ("SciFact", "SciFact"),
            ("a-b_c.d+e=f", "a-b_c.d+e=f"),
            ("org/model", "org%2Fmodel"),
            ("a b", "a%20b"),
            ("é", "%C3%A9"),
            ("🎉", "%F0%9F%8E%89"),
            ("", "%"),
            ("%", "%25"),
            (".", "%2E"),
            ("..", "%2E."),
            (".git", "%2Egit"),
            ("~", "%7E"),
            ("\x00\n", "%00%0A"),
            ("C:\\x", "C%3A%5Cx"),
        ],
    )
    def test_literal_cases(self, name, escaped):
        assert file_name(name) == escaped
        assert original_name(escaped) == name

    @given(ANY_TEXT | LONG_TEXT)
    def test_is_always_a_safe_name(self, name):
        escaped = file_name(name)
        assert escaped.isascii()
        assert 0 < len(escaped) <= 150
        assert not set(escaped) & set('/\\:*?"<>| \0')
        assert not escaped.startswith(".")

    @given(st.text(st.characters(), max_size=12))
    def test_round_trip(self, name):
        assert original_name(file_name(name)) == name

    @given(ANY_TEXT | LONG_TEXT, ANY_TEXT | LONG_TEXT)
    def test_different_names_stay_different(self, one, other):
        assert (file_name(one) == file_name(other)) == (one == other)

    @pytest.mark.parametrize("name", ["a" * 151, "漢" * 100, "🎉" * 1000, "a/" * 60])
    def test_a_long_name_is_its_own_but_not_reversible(self, tmp_path, name):
        escaped = file_name(name)
        assert escaped != file_name(name + "x")
        (tmp_path / f"{escaped}.json").write_text("x")
        with pytest.raises(ValueError, match="too long"):
            original_name(escaped)

    def test_the_longest_reversible_name(self):
        assert file_name("a" * 150) == "a" * 150
        assert original_name("a" * 150) == "a" * 150

    @given(ANY_TEXT)
    def test_a_file_of_that_name_can_be_made(self, tmp_path_factory, name):
        path = tmp_path_factory.getbasetemp() / f"{file_name(name)}.json"
        path.write_text("x")
        path.unlink()


class TestReadableName:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("org/model", "org-model"),
            ("a  b//c", "a-b-c"),
            ("../../up", "up"),
            (".hidden", "hidden"),
            ("模型", ""),
            ("k1=1.5", "k1=1.5"),
        ],
    )
    def test_literal_cases(self, text, name):
        assert readable_name(text) == name

    @given(ANY_TEXT | LONG_TEXT)
    def test_is_safe(self, text):
        name = readable_name(text)
        assert name.isascii()
        assert len(name) <= 200
        assert "/" not in name
        assert not name.startswith((".", "-"))
