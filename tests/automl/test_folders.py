"""Folders that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from automl.errors import InputError
from automl.folders import FolderSort, check_place, read_described, remove, write_described, written_whole

SORT = FolderSort("notes", 2, ("mark.json", "other.txt"), checked_from=2)


def write(folder: Path, text: str) -> None:
    """A folder of that sort."""
    with written_whole(folder, SORT) as fresh:
        write_described(fresh, SORT, {"text": text})


def test_a_block_that_fails_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    with written_whole(tmp_path / "it", SORT) as fresh:
        (fresh / "mark.json").write_text("old")
    with pytest.raises(RuntimeError, match="half way"), written_whole(tmp_path / "it", SORT) as fresh:
        (fresh / "mark.json").write_text("new")
        raise RuntimeError("half way")
    assert (tmp_path / "it" / "mark.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    remove(tmp_path / "it")
    remove(tmp_path / "it")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can be written"), written_whole(tmp_path / "file" / "it", SORT):
        pass
    with pytest.raises(InputError, match="choose another name"), written_whole(tmp_path / "file", SORT):
        pass


@pytest.mark.parametrize("parts", [("a" * 300,), ("a" * 300, "it")])
def test_names_that_are_too_long_are_refused(tmp_path: Path, parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="too long"):
        check_place(tmp_path.joinpath(*parts), SORT)
    with pytest.raises(InputError, match="too long"), written_whole(tmp_path.joinpath(*parts), SORT):
        pass
    assert not list(tmp_path.iterdir())


def test_a_place_is_checked_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check_place(tmp_path / "new" / "folders" / "it", SORT)
    with pytest.raises(InputError, match="can be written"):
        check_place(tmp_path / "file" / "it", SORT)
    with pytest.raises(InputError, match="choose another name"):
        check_place(tmp_path, SORT)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_is_full_is_told_as_bad_input_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*No space left"), written_whole(tmp_path / "new", SORT):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.write_text("precious")])
def test_what_is_no_folder_is_never_replaced(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "it")
    with pytest.raises(InputError, match="which is no folder, expected a new one"):
        check_place(tmp_path / "it", SORT)
    with pytest.raises(InputError, match="which is no folder, expected a new one"):
        write(tmp_path / "it", "new")
    assert not (tmp_path / "it").is_dir()


def test_a_folder_with_files_of_somebody_s_own_is_never_replaced(tmp_path: Path) -> None:
    write(tmp_path / "it", "old")
    (tmp_path / "it" / ".DS_Store").write_text("")
    write(tmp_path / "it", "new")
    (tmp_path / "it" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match=r"which also holds 'thesis\.txt'.*; move what you want to keep"):
        write(tmp_path / "it", "newest")
    assert (tmp_path / "it" / "thesis.txt").read_text() == "precious"
    assert read_described(tmp_path / "it", SORT)["text"] == "new"


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "it")
    for text in ("made", "replaced"):
        write(tmp_path / "link", text)
        assert read_described(tmp_path / "disk" / "it", SORT)["text"] == text
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match=r"cannot write .*choose a place"):
        write(tmp_path / "loop", "lost")


def described(version: object, **fields: object) -> str:
    """A description without a checksum."""
    return json.dumps({"format": "notes", "version": version, **fields})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "damaged or truncated .*expected JSON"),
        ('{"a": ' + "1" * 5000 + "}", "damaged or truncated .*expected JSON"),
        ("[]", "no description of the sort 'notes'"),
        (described(3), "format version 3, expected at most 2"),
        (described(0), "format version 0"),
        (described(True), "format version True"),
        (described(None), "format version None"),
        (described(2, text="a"), "its checksum differs"),
        (described(2, text="a", checksum="0"), "its checksum differs"),
    ],
)
def test_descriptions_that_nobody_wrote_so_get_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mark.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_described(tmp_path, SORT)


def test_descriptions_of_before_checksums_are_read(tmp_path: Path) -> None:
    (tmp_path / "mark.json").write_text(described(1, text="old"))
    assert read_described(tmp_path, SORT)["text"] == "old"


def test_a_folder_that_is_none_has_no_description(tmp_path: Path) -> None:
    for folder in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match=r"holds no mark\.json"):
            read_described(folder, SORT)
    with pytest.raises(InputError, match="too long"):
        read_described(tmp_path / ("a" * 300), SORT)
