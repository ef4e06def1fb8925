"""Folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from automl.errors import InputError
from automl.folders import check_place, remove, written_whole


def test_a_block_that_fails_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    with written_whole(tmp_path / "it", "mark.json") as fresh:
        (fresh / "mark.json").write_text("old")
    with pytest.raises(RuntimeError, match="half way"), written_whole(tmp_path / "it", "mark.json") as fresh:
        (fresh / "mark.json").write_text("new")
        raise RuntimeError("half way")
    assert (tmp_path / "it" / "mark.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    remove(tmp_path / "it")
    remove(tmp_path / "it")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can be written"), written_whole(tmp_path / "file" / "it", "mark.json"):
        pass
    with pytest.raises(InputError, match="choose another name"), written_whole(tmp_path / "file", "mark.json"):
        pass


@pytest.mark.parametrize("parts", [("a" * 300,), ("a" * 300, "it")])
def test_names_that_are_too_long_are_refused(tmp_path: Path, parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="too long"):
        check_place(tmp_path.joinpath(*parts), "mark.json")
    with pytest.raises(InputError, match="too long"), written_whole(tmp_path.joinpath(*parts), "mark.json"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_place_is_checked_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check_place(tmp_path / "new" / "folders" / "it", "mark.json")
    with pytest.raises(InputError, match="can be written"):
        check_place(tmp_path / "file" / "it", "mark.json")
    with pytest.raises(InputError, match="choose another name"):
        check_place(tmp_path, "mark.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_is_full_is_told_as_bad_input_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*No space left"), written_whole(tmp_path / "new", "marker"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())
