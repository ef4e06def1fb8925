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

    What a link leads to is replaced, and pipes and devices such as /dev/stdout are written to directly.

    Raises:
        InputError: If the file cannot be written.
    """
    if path.is_dir():
        raise InputError(f"got the output {str(path)!r}, which is a folder; expected a file's name: add one.")
    is_stream = path.exists() and not path.is_file()  # a pipe or a device, in whose place no file may be put
    place = path if is_stream else path.resolve()  # a link stays one: what it leads to is replaced
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        with (place if is_stream else temporary).open("w", encoding="utf-8", newline="") as file:
            yield file
        if not is_stream:
            temporary.replace(place)
    except OSError as error:
        raise InputError(
            f"got the output {str(path)!r}, which cannot be written ({error.strerror}); choose another."
        ) from error
    finally:
        if not is_stream:
            temporary.unlink(missing_ok=True)
