"""Folders that appear whole or not at all: written beside their place under a temporary name, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.errors import InputError, listed

_CHECKSUM = "checksum"
# What file managers leave behind, which nobody would miss.
_LEFT_BEHIND = frozenset((".DS_Store", "Thumbs.db", "desktop.ini"))


@dataclass(frozen=True)
class FolderSort:
    """A sort of folder that this project writes.

    Args:
        name: What its description calls it.
        version: The version of its format that is written, the newest that can be read.
        files: Names of all its files, that of its description first.
        checked_from: The first version whose description has a checksum.
    """

    name: str
    version: int
    files: tuple[str, ...]
    checked_from: int

    @property
    def marker(self) -> str:
        """Name of the JSON file that describes the folder."""
        return self.files[0]


MODEL = FolderSort("automl-model", 3, ("model.json", "model.safetensors"), checked_from=3)
TASK = FolderSort("automl-task", 3, ("task.json", "arrays.npz"), checked_from=3)


def check_place(folder: str | os.PathLike[str], sort: FolderSort) -> None:
    """Refuses a place where `written_whole` could write no folder; leaves nothing there.

    Args:
        folder: Where the folder is to appear.
        sort: What it will be.

    Raises:
        InputError: If `folder` exists and is of another sort, or its place cannot be written.
    """
    with _place(folder, sort) as place:
        there = next(parent for parent in place.parents if parent.exists())
        _beside(place, there).cleanup()  # rights alone do not tell: a disk may be full or read-only


@contextmanager
def written_whole(folder: str | os.PathLike[str], sort: FolderSort) -> Iterator[Path]:
    """Yields a temporary folder to write into, and puts it in the place of `folder` once the block has succeeded.

    Args:
        folder: Where the folder is to appear; its parents are made. Of a link, what it leads to is replaced.
        sort: What it is. An existing folder is replaced only if it is empty or of that sort with nothing else in it,
            so that no file of anybody's is ever lost.

    Raises:
        InputError: If `folder` exists and is of another sort, or its place cannot be written, be it in the block: the
            disk may be full.
    """
    with _place(folder, sort) as place:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _beside(place, place.parent) as temporary:
            fresh = Path(temporary) / "new"
            fresh.mkdir()
            yield fresh
            if place.exists():
                os.replace(place, Path(temporary) / "old")
            os.replace(fresh, place)


@contextmanager
def _place(folder: str | os.PathLike[str], sort: FolderSort) -> Iterator[Path]:
    """Yields the absolute path of a folder that is new or of that sort; errors of the file system become bad input."""
    try:
        place = _resolved(folder)
        _check_replaceable(place, str(folder), sort)
        yield place
    except OSError as error:
        raise InputError(
            f"cannot write {str(folder)!r} ({error.strerror}); choose a place that can be written."
        ) from error


def _resolved(folder: str | os.PathLike[str]) -> Path:
    """The absolute path without links."""
    try:
        return Path(folder).resolve()
    except RuntimeError as error:  # as Python before 3.13 calls a link to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error


def _check_replaceable(place: Path, shown: str, sort: FolderSort) -> None:
    """Refuses a place that holds anything but an empty folder or one of that sort."""
    if not place.is_dir():
        if place.exists():
            raise InputError(f"got {shown!r}, which is no folder, expected a new one; choose another name.")
        return
    held = {path.name for path in place.iterdir()}
    if held and sort.marker not in held:
        raise InputError(
            f"got {shown!r}, which exists and holds no {sort.marker}; expected a new folder or one to replace: choose "
            "another name."
        )
    if others := sorted(held - {*sort.files} - _LEFT_BEHIND):
        raise InputError(
            f"got {shown!r}, which also holds {listed(others)}, expected a folder to replace with nothing else in it; "
            "move what you want to keep, or choose another name."
        )


def _beside(place: Path, parent: Path) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=parent, prefix=f".{place.name}.")


def remove(folder: str | os.PathLike[str]) -> None:
    """Removes a folder and all it holds, if it exists."""
    shutil.rmtree(folder, ignore_errors=True)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_described(folder: Path, sort: FolderSort, fields: Mapping[str, Any]) -> None:
    """Writes the description of a folder: its sort, JSON-ready fields and their checksum, one a line."""
    described = {"format": sort.name, "version": sort.version, **fields}
    text = json.dumps({**described, _CHECKSUM: _checksum(described)}, indent=1, allow_nan=True)
    (folder / sort.marker).write_text(text + "\n", encoding="utf-8")


def _checksum(fields: Mapping[str, Any]) -> str:
    """SHA-256 of JSON-ready fields in a form that does not depend on how a file is laid out, in hexadecimal."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, allow_nan=True).encode()).hexdigest()


def read_described(folder: Path, sort: FolderSort) -> dict[str, Any]:
    """The fields that `write_described` wrote, after checking that this version can read them.

    Args:
        folder: The folder.
        sort: What it is expected to be.

    Raises:
        InputError: If the folder or file is missing, is no JSON, is of another sort, of a newer version, or no longer
            says what was written.
    """
    path = folder / sort.marker
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else None
        fields = None if text is None else json.loads(text)
    except (ValueError, RecursionError, OSError) as error:  # numbers of thousands of digits are a ValueError, too
        raise InputError(f"{path} is damaged or truncated ({error}), expected JSON; save the folder again.") from error
    if text is None:
        raise InputError(
            f"got {str(folder)!r}, which holds no {sort.marker}; expected a folder of the sort {sort.name!r}: "
            "check the path, or save it again."
        )
    if not isinstance(fields, dict) or fields.get("format") != sort.name:
        raise InputError(
            f"{path} is no description of the sort {sort.name!r}; expected a folder saved as such: check the path."
        )
    _check_version(folder, sort, fields.get("version"))
    kept = fields.pop(_CHECKSUM, None)
    if fields["version"] >= sort.checked_from and kept != _checksum(fields):
        raise InputError(
            f"{path} is damaged or truncated, or was changed by hand (its checksum differs), expected it as it was "
            "saved; save or copy the folder again."
        )
    return fields


def _check_version(folder: Path, sort: FolderSort, version: object) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= sort.version:
        raise InputError(
            f"{str(folder)!r} is of format version {version!r}, expected at most {sort.version}; "
            "upgrade automl-studies, or save it again with this version."
        )
