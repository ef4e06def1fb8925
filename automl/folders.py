"""Folders that appear whole or not at all: written beside their place under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from automl.errors import InputError

_CHECKSUM = "checksum"


def check_place(folder: str | os.PathLike[str], marker: str) -> None:
    """Refuses a place where `written_whole` could write no folder; leaves nothing there.

    Args:
        folder: Where the folder is to appear.
        marker: Name of the file that every folder of this sort holds.

    Raises:
        InputError: If `folder` exists and is of another sort, or its place cannot be written.
    """
    with _place(folder, marker) as place:
        there = next(parent for parent in place.parents if parent.exists())
        _beside(place, there).cleanup()  # rights alone do not tell: a disk may be full or read-only


@contextmanager
def written_whole(folder: str | os.PathLike[str], marker: str) -> Iterator[Path]:
    """Yields a temporary folder to write into, and puts it in the place of `folder` once the block has succeeded.

    Args:
        folder: Where the folder is to appear; its parents are made.
        marker: Name of the file that every folder of this sort holds. An existing folder is replaced only if it holds
            that file or is empty, so that nothing of another sort is ever overwritten.

    Raises:
        InputError: If `folder` exists and is of another sort, or its place cannot be written, be it in the block: the
            disk may be full.
    """
    with _place(folder, marker) as place:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _beside(place, place.parent) as temporary:
            fresh = Path(temporary) / "new"
            fresh.mkdir()
            yield fresh
            if place.exists():
                os.replace(place, Path(temporary) / "old")
            os.replace(fresh, place)


@contextmanager
def _place(folder: str | os.PathLike[str], marker: str) -> Iterator[Path]:
    """Yields the absolute path of a folder that is new or of that sort; errors of the file system become bad input."""
    place = Path(folder).absolute()
    try:
        if place.is_file() or (place.is_dir() and any(place.iterdir()) and not (place / marker).is_file()):
            raise InputError(
                f"got {str(folder)!r}, which exists and holds no {marker}; expected a new folder or one to replace: "
                "choose another name."
            )
        yield place
    except OSError as error:
        raise InputError(
            f"cannot write {str(folder)!r} ({error.strerror}); choose a place that can be written."
        ) from error


def _beside(place: Path, parent: Path) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=parent, prefix=f".{place.name}.")


def remove(folder: str | os.PathLike[str]) -> None:
    """Removes a folder and all it holds, if it exists."""
    shutil.rmtree(folder, ignore_errors=True)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_described(path: Path, fields: Mapping[str, Any]) -> None:
    """Writes JSON-ready fields, one a line, and their checksum."""
    described = {**fields, _CHECKSUM: _checksum(fields)}
    path.write_text(json.dumps(described, indent=1, allow_nan=True) + "\n", encoding="utf-8")


def _checksum(fields: Mapping[str, Any]) -> str:
    """SHA-256 of JSON-ready fields in a form that does not depend on how a file is laid out, in hexadecimal."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, allow_nan=True).encode()).hexdigest()


def read_described(folder: Path, marker: str, sort: str, version: int) -> dict[str, Any]:
    """The fields of the JSON file `marker` in a folder, after checking that this version can read them.

    Args:
        folder: The folder.
        marker: Name of its JSON file, with `format` and `version` among its fields.
        sort: The value of `format` that is expected, for example "automl-model".
        version: The newest version that can be read.

    Raises:
        InputError: If the folder or file is missing, is no JSON, is of another sort, of a newer version, or no longer
            says what was written.
    """
    path = folder / marker
    if not path.is_file():
        raise InputError(
            f"got {str(folder)!r}, which holds no {marker}; expected a folder of the sort {sort!r}: "
            "check the path, or save it again."
        )
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} is damaged or truncated ({error}), expected JSON; save the folder again.") from error
    if not isinstance(fields, dict) or fields.get("format") != sort:
        raise InputError(
            f"{path} is no description of the sort {sort!r}; expected a folder saved as such: check the path."
        )
    if not isinstance(fields.get("version"), int) or fields["version"] > version:
        raise InputError(
            f"{str(folder)!r} is of format version {fields.get('version')!r}, expected at most {version}; "
            "upgrade automl-studies, or save it again with this version."
        )
    kept = fields.pop(_CHECKSUM, None)  # which folders of older releases lack
    if kept is not None and kept != _checksum(fields):
        raise InputError(
            f"{path} is damaged or truncated, or was changed by hand (its checksum differs), expected it as it was "
            "saved; save or copy the folder again."
        )
    return fields
