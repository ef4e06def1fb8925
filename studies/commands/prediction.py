"""What `automl predict` does; apart from the other commands, since a saved model needs neither Optuna nor a storage."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

from numpy.typing import NDArray

from automl.errors import InputError
from automl.model import Model
from studies.output_files import written_whole


def predict(model: Path, data: Path, *, output: Path | None, proba: bool) -> None:
    """Prints the predictions of a saved model for a file's rows as CSV, or writes them to a file other than "-".

    Args:
        model: The model's folder.
        data: A file of rows; "-" for standard input, which is CSV as what comes from a pipe is.
        output: The file to write; standard output by default.
        proba: Whether probabilities are wanted instead of labels.

    Raises:
        InputError: If the model or the data cannot be used.
    """
    loaded, notes = Model.load(model), list[str]()
    with _as_file(data) as file_of_rows:
        if proba:
            table: NDArray[Any] = loaded.predict_proba(file_of_rows, notes=notes)
            names = [str(label) for label in loaded.target.classes]
        else:
            table = loaded.predict(file_of_rows, notes=notes)[:, None]
            names = [loaded.target.name]
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if output is None or str(output) == "-":  # as other commands take it
        _write_csv(sys.stdout, names, table)
    else:
        with written_whole(output) as file:
            _write_csv(file, names, table)
        print(f"wrote {len(table)} predictions to {output}", file=sys.stderr)


@contextmanager
def _as_file(data: Path) -> Iterator[Path]:
    """The data as a file that can be read more than once: what comes from a pipe is kept as one in the meantime."""
    is_standard_input = str(data) == "-"
    if not is_standard_input and (data.is_file() or data.is_dir() or not data.exists()):
        yield data
        return
    with TemporaryDirectory() as folder:
        kept = Path(folder) / "rows.csv"
        with kept.open("wb") as file:
            if is_standard_input:
                shutil.copyfileobj(sys.stdin.buffer, file)
            else:
                with data.open("rb") as pipe:
                    shutil.copyfileobj(pipe, file)
        try:
            yield kept
        except InputError as error:
            shown = "standard input" if is_standard_input else str(data)
            raise InputError(str(error).replace(str(kept), shown)) from error


def _write_csv(file: TextIO, names: Sequence[str], table: NDArray[Any]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(table.tolist())
