"""What `automl predict` does; apart from the other commands, since a saved model needs neither Optuna nor a storage."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from numpy.typing import NDArray

from automl.model import Model
from studies.output_files import written_whole


def predict(model: Path, data: Path, *, output: Path | None, proba: bool) -> None:
    """Prints the predictions of a saved model for a file's rows as CSV, or writes them to a file other than "-".

    Raises:
        InputError: If the model or the data cannot be used.
    """
    loaded, notes = Model.load(model), list[str]()
    if proba:
        table: NDArray[Any] = loaded.predict_proba(data, notes=notes)
        names = [str(label) for label in loaded.target.classes]
    else:
        table = loaded.predict(data, notes=notes)[:, None]
        names = [loaded.target.name]
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if output is None or str(output) == "-":  # as other commands take it
        _write_csv(sys.stdout, names, table)
    else:
        with written_whole(output) as file:
            _write_csv(file, names, table)
        print(f"wrote {len(table)} predictions to {output}", file=sys.stderr)


def _write_csv(file: TextIO, names: Sequence[str], table: NDArray[Any]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(table.tolist())
