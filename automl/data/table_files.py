"""Tables read from CSV and Parquet files.

A CSV file says little of itself: its separator, whether it has a header, what decimal commas and dates it holds, and
whether its rows have names are all inferred here, and told in the table's notes where people may be surprised. pandas
is imported only when a file is read.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.tables import Column, Table, as_texts, check_names, dates_as_days, is_numeric, table_from_frame
from automl.errors import InputError, listed

_SEPARATORS = ",;\t|"
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_LONGEST_RECORD = 100  # lines; a quote that is never closed does not make a record of the whole file
_PARQUET_ENDINGS = (".parquet", ".pq")
_CSV_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")


def read_table(path: str | Path, text_columns: Sequence[str] = ()) -> Table:
    """Reads a CSV file (comma, semicolon, tab or bar; plain or gzipped) or a Parquet file.

    A CSV file whose first line holds nothing but numbers has no header: its columns are called column_1, column_2, ...
    Columns of dates (2024-02-29, 2024-02-29 23:59, 2024-02-29T23:59Z) become days since 1970, and where cells are not
    separated by commas, those of numbers with decimal commas become numbers.

    Args:
        path: The file; what it is follows from its ending.
        text_columns: Columns to keep as texts even where all their values look like numbers.

    Raises:
        InputError: If the file is missing, empty, damaged, of an unknown ending, names two columns the same, or has no
            rows.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"got {str(path)!r}, which is no file; expected a CSV or Parquet file: check the path.")
    name = file.name.lower()
    if name.endswith(_PARQUET_ENDINGS):
        table = _read_parquet(file, text_columns)
    elif name.endswith(_CSV_ENDINGS):
        table = _read_csv(file, text_columns)
    else:
        raise InputError(
            f"got {str(path)!r}, expected a file ending in {', '.join(_CSV_ENDINGS + _PARQUET_ENDINGS)}; "
            "convert or rename it."
        )
    if not table.columns or not len(table):
        raise InputError(f"{str(path)!r} has no rows of data, expected at least one below the header; fill it.")
    return table


@dataclass(frozen=True)
class _Layout:
    """How a CSV file is laid out, as far as its first two lines tell.

    Args:
        separator: What separates cells: the most frequent of the separators in the first line, quoted names left out.
        header: The cells of the first line.
        first: The cells of the second line.
    """

    separator: str
    header: list[str]
    first: list[str]

    @classmethod
    def of(cls, path: Path) -> _Layout:
        opener = gzip.open if path.name.lower().endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            filled = _records(file)
            records = next(filled, ""), next(filled, "")
        separator = max(_SEPARATORS, key=re.sub('"[^"]*"', "", records[0]).count)
        header, first = (
            next(csv.reader(record.splitlines(keepends=True), delimiter=separator, skipinitialspace=True), [])
            for record in records
        )
        return cls(separator, header, first)

    @property
    def is_headless(self) -> bool:
        """Whether the first line holds nothing but numbers, so that it is data."""
        return bool(self.header) and all(_is_number(cell) for cell in self.header)

    @property
    def names(self) -> list[str] | None:
        """The columns' names where the file has none; else None."""
        return [f"column_{i + 1}" for i in range(len(self.header))] if self.is_headless else None

    @property
    def has_trailing_separators(self) -> bool:
        """Whether every line of data ends with a separator, which makes an empty cell beyond the header."""
        return len(self.first) > len(self.header) and not self.first[-1]

    @property
    def has_named_rows(self) -> bool:
        """Whether the lines of data have a cell more than the header: pandas takes the first for the row's name."""
        return len(self.first) > len(self.header) and not self.has_trailing_separators

    def notes(self, file_name: str) -> list[str]:
        """What was inferred and the user should be told."""
        notes = []
        if self.has_named_rows:
            notes.append(f"{file_name} has one name fewer than columns: the first column is left out.")
        if self.is_headless:
            notes.append(f"{file_name} has no header: its columns are called column_1 to column_{len(self.header)}.")
        return notes


def _records(lines: Iterable[str]) -> Iterator[str]:
    """The lines that are not empty, those joined that a quoted cell with line breaks spans."""
    record = ""
    for line in lines:
        if record or line.strip():
            record += line
            if record.count('"') % 2 == 0 or record.count("\n") > _LONGEST_RECORD:
                yield record
                record = ""
    if record:
        yield record


def _read_csv(path: Path, text_columns: Sequence[str]) -> Table:
    with _told_as_bad_input(path):
        layout = _Layout.of(path)
        if not layout.is_headless:  # pandas would rename them, and leave a copy of the target among the inputs
            check_names([cell for cell in layout.header if cell])
        frame = _csv_frame(path, layout, text_columns)
    table = table_from_frame(frame)
    table = _with_numbers(table, text_columns, dates_as_days, "dates are read as days since 1970")
    if layout.separator != ",":
        has_points = any(is_numeric(column) and (column % 1 > 0).any() for column in table.columns.values())
        commas = partial(_decimal_commas, may_be_thousands=has_points)
        table = _with_numbers(table, text_columns, commas, "decimal commas are read as points")
    return Table(table.columns, (*layout.notes(path.name), *table.notes))


def _csv_frame(path: Path, layout: _Layout, text_columns: Sequence[str]) -> Any:
    """The file as a pandas data frame."""
    import pandas as pd

    names = layout.names
    return pd.read_csv(
        path,
        sep=layout.separator,
        header=None if layout.is_headless else 0,
        names=names,
        dtype={name: str for name in text_columns if names is None or name in names},
        skipinitialspace=True,
        low_memory=False,
        index_col=False if layout.has_trailing_separators else None,
        usecols=range(len(layout.header)) if layout.has_trailing_separators else None,
    )


@contextmanager
def _told_as_bad_input(path: Path) -> Iterator[None]:
    """Tells whatever makes a CSV file unreadable in one sentence, as bad input."""
    import pandas as pd

    try:
        yield
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{str(path)!r} is empty, expected a header and rows of data; fill it.") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{str(path)!r} cannot be read as CSV, since it is no UTF-8 text (byte {error.object[error.start]:#x} is "
            "none of it); save it as UTF-8, which spreadsheets call 'CSV UTF-8'."
        ) from error
    except (pd.errors.ParserError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{str(path)!r} cannot be read as CSV ({reason}), expected as many cells in every line; mend it."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{str(path)!r} cannot be read ({error}), expected a whole file that is readable and, if its name ends in "
            ".gz, gzipped; copy or write it again."
        ) from error


def _with_numbers(
    table: Table, kept: Sequence[str], read: Callable[[Column], NDArray[np.float64] | None], how: str
) -> Table:
    """The table with the texts that `read` can read replaced by numbers, and a note on them; some columns are kept."""
    found = {
        name: read(column) for name, column in table.columns.items() if name not in kept and not is_numeric(column)
    }
    numbers: dict[str, Column] = {name: column for name, column in found.items() if column is not None}
    if not numbers:
        return table
    return Table({**table.columns, **numbers}, (*table.notes, f"{how}: {listed(list(numbers))}."))


def _decimal_commas(column: Column, *, may_be_thousands: bool) -> NDArray[np.float64] | None:
    """Texts such as -3 or 2,75 as numbers; None where some text is none, or the commas may separate thousands."""
    texts = [text for text in column if text is not None]
    if not all(_DECIMAL_COMMA.fullmatch(text) for text in texts):
        return None
    if may_be_thousands and all(_THOUSANDS.fullmatch(text) for text in texts if "," in text):
        return None
    return np.array([np.nan if text is None else float(text.replace(",", ".")) for text in column], dtype=np.float64)


def _read_parquet(path: Path, text_columns: Sequence[str]) -> Table:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
        table = table_from_frame(frame.reset_index([name for name in frame.index.names if name is not None]))
    except ImportError as error:
        raise InputError("reading Parquet files takes pyarrow; install automl-studies[parquet].") from error
    except Exception as error:  # pyarrow raises a dozen types for damaged files
        reason = " ".join(str(error).split())
        raise InputError(f"{str(path)!r} cannot be read as Parquet ({reason}); write the file again.") from error
    forced = {name: as_texts(column) for name, column in table.columns.items() if name in text_columns}
    return Table({**table.columns, **forced})


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
