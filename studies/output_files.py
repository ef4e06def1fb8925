"""Files that appear whole or not at all: written under a temporary name beside their place, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from automl.errors import InputError


@contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """Yields a temporary file that takes the place of `path` once the block has succeeded.

    Raises:
        InputError: If the file cannot be written.
    """
    if path.is_dir():
        raise InputError(f"got the output {str(path)!r}, which is a folder; expected a file's name: add one.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"got the output {str(path)!r}, which cannot be written ({error.strerror}); choose another."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
