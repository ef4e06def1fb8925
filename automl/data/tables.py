"""Table: named columns of numbers or texts, made of data frames, mappings and arrays.

Files are read by `automl.data.table_files`.

A column is a float64 array with NaN where a value is missing, or an object array of `str` with None where one is.
Nothing is decided here about what a column means; that is for `automl.data.preprocessing` and `automl.data.targets`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from automl.errors import InputError, listed

Column = NDArray[np.float64] | NDArray[np.object_]

# Beyond this, sums of squares leave the range of float64.
_LARGEST = 1e100
_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,9})?)?( ?(?P<zone>Z|[+-]\d\d:?\d\d))?)?")
_NAMELESS = re.compile(r"Unnamed: \d+")  # what pandas calls a column whose header is empty
_NUMBERS = (int, float, np.integer, np.floating, Decimal)


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length by name, in order.

    Args:
        columns: For each name a float64 array [n] or an object array [n] of str and None.
        notes: What the reader decided and the user should be told, one sentence each.

    Raises:
        InputError: If the lengths of the columns differ.
    """

    columns: Mapping[str, Column]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"got columns of different lengths {lengths}, expected equal ones; fill or cut them.")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @cached_property
    def digest(self) -> str:
        """Hexadecimal digest of the names and every value."""
        total = hashlib.sha256()
        for name, column in self.columns.items():
            total.update(repr((name, len(column), column.dtype.kind)).encode())
            total.update(column.tobytes() if column.dtype.kind == "f" else repr(column.tolist()).encode())
        return total.hexdigest()[:32]

    def without(self, names: Sequence[str]) -> Table:
        """The table without the named columns."""
        return Table({name: column for name, column in self.columns.items() if name not in names}, self.notes)


def is_numeric(column: Column) -> TypeGuard[NDArray[np.float64]]:
    """Whether a column holds numbers."""
    return column.dtype.kind == "f"


def as_numbers(column: Column) -> NDArray[np.float64] | None:
    """The column as numbers, texts read as such or all as dates; None where some text is neither."""
    if is_numeric(column):
        return column.astype(np.float64, copy=False)
    try:
        return np.array([np.nan if text is None else float(text) for text in column], dtype=np.float64)
    except ValueError:
        return dates_as_days(column)


def first_strange(column: Column) -> str:
    """The first text of a column that is neither number nor date; the first of all where they do not go together."""
    texts = [str(text) for text in column if text is not None]
    return next((text for text in texts if as_numbers(np.array([text], object)) is None), texts[0])


def dates_as_days(column: Column) -> NDArray[np.float64] | None:
    """Texts such as 2024-02-29 or 2024-02-29T23:59:59.5Z as days since 1970; None where some text is no date.

    Times with a zone are those of UTC.
    """
    matches = [None if text is None else _DATE.fullmatch(text) for text in column]
    if not all(match or text is None for match, text in zip(matches, column, strict=True)):
        return None
    try:
        texts = ["NaT" if match is None else _without_zone(match) for match in matches]
        return _days(np.array(texts, dtype="datetime64[us]"))
    except (ValueError, OverflowError):  # the 13th month; the year 0 in UTC
        return None


def _without_zone(match: re.Match[str]) -> str:
    """The text of a date, its time as that of UTC if it has a zone."""
    if match["zone"] is None:
        return match[0]
    return datetime.fromisoformat(match[0].replace(" " + match["zone"], match["zone"])).astimezone(UTC).isoformat()[:-6]


def _days(dates: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Days since 1970, NaN where a date is missing."""
    days: NDArray[np.float64] = (dates - np.datetime64(0, "s")) / np.timedelta64(1, "D")
    return days


def _durations(spans: NDArray[np.timedelta64]) -> NDArray[np.float64]:
    """Days, NaN where a span of time is missing."""
    days: NDArray[np.float64] = spans / np.timedelta64(1, "D")
    return days


def as_texts(column: Column) -> NDArray[np.object_]:
    """The column as texts: whole numbers without a decimal point, None where a value is missing."""
    if not is_numeric(column):
        return column.astype(object, copy=False)
    texts = np.empty(len(column), dtype=object)
    texts[:] = [_number_text(number) for number in column.tolist()]
    return texts


def without_row_numbers(table: Table, kept: Sequence[str]) -> Table:
    """The table without nameless columns that are empty or number its rows, as spreadsheets and pandas write them.

    Args:
        table: Any table.
        kept: Columns to keep, whatever they hold.
    """
    nameless = [name for name in table.columns if _NAMELESS.fullmatch(name) and name not in kept]
    found = [name for name in nameless if _numbers_rows(table.columns[name])]
    if not found:
        return table
    note = f"left out, since they have no name and no values or a different number in each row: {listed(found)}."
    return replace(table.without(found), notes=(*table.notes, note))


def _numbers_rows(column: Column) -> bool:
    """Whether a column is empty, or each row has a whole number that no other has."""
    if missing(column).all():
        return True
    return is_numeric(column) and bool((column == np.round(column)).all()) and len(set(column.tolist())) == len(column)


def missing(column: Column) -> NDArray[np.bool_]:
    """Where the values of a column are missing, a boolean array [n]."""
    if is_numeric(column):
        return np.isnan(column)
    return np.fromiter((value is None for value in column), dtype=np.bool_, count=len(column))


def check_finite(name: str, column: NDArray[np.float64]) -> None:
    """Refuses infinite values in a column of numbers; gaps are none.

    Raises:
        InputError: If there are any, or such as would overflow when squared.
    """
    infinite = np.abs(column) > _LARGEST
    if infinite.any():
        raise InputError(
            f"column {name!r} holds {int(infinite.sum())} infinite values or such beyond "
            f"{_LARGEST:g} (first in row {int(infinite.argmax()) + 1}), "
            "expected finite numbers or gaps; mend or empty these cells."
        )


def standard_deviation(values: NDArray[np.float64]) -> float:
    """Standard deviation, or 1 where the values are constant up to rounding."""
    if not len(values):
        return 1.0
    deviation = float(np.std(values))
    return deviation if deviation > 1e-12 * float(np.abs(values).max()) else 1.0


def as_table(data: object, names: Sequence[str] | None = None) -> Table:
    """A table of a data frame, a mapping of columns, a list of rows as mappings, or an array.

    Args:
        data: The data; an array's rows are the table's, and dimensions beyond the second are flattened.
        names: Names of an array's columns; x0, x1, ... where not given.

    Raises:
        InputError: If the data are of another type, or an array does not have one column a name.
    """
    if isinstance(data, Table):
        return data
    if hasattr(data, "columns") and hasattr(data, "dtypes"):
        return table_from_frame(data)
    if isinstance(data, Mapping):
        return Table({str(name): as_column(values) for name, values in data.items()})
    if isinstance(data, Sequence) and data and all(isinstance(row, Mapping) for row in data):
        return _table_of_rows(data)
    array = as_array(data)
    if array.ndim < 2:
        raise InputError(
            f"got data of the shape {array.shape}, expected a data frame, a mapping of columns, a list of rows as "
            "mappings, or an array of rows x columns; reshape it."
        )
    if array.ndim > 2 and array.dtype.kind == "b":  # black and white pixels, which are numbers
        array = array.astype(np.float64)
    array = array.reshape(len(array), math.prod(array.shape[1:]))  # not -1, which no rows leave open
    names = tuple(f"x{i}" for i in range(array.shape[1])) if names is None else tuple(names)
    if len(names) != array.shape[1]:
        raise InputError(f"got an array of {array.shape[1]} columns, expected {len(names)}: {listed(names)}.")
    return Table({name: as_column(array[:, i]) for i, name in enumerate(names)})


def as_array(data: object) -> NDArray[Any]:
    """An array, or a list of them or of numbers, as one array.

    Raises:
        InputError: If the entries of a list differ in shape.
    """
    try:
        array = np.asarray(data)
        # NumPy would make texts of numbers that stand among texts.
        return array if array.dtype.kind not in "US" or isinstance(data, np.ndarray) else np.asarray(data, np.object_)
    except ValueError as error:
        raise InputError(
            "got a list whose entries differ in shape, expected as many values in each row and images of one size and "
            "as many channels; fill, cut or resize them."
        ) from error


def _table_of_rows(rows: Sequence[Mapping[str, object]]) -> Table:
    """A table of rows by name, as services are sent them; what a row lacks is missing."""
    names = dict.fromkeys(name for row in rows for name in row)
    return Table({str(name): as_column([row.get(name) for row in rows]) for name in names})


def table_from_frame(frame: Any) -> Table:
    """A table of a data frame: numbers, dates as days since 1970, spans of time as days, all else as texts.

    Args:
        frame: A frame of pandas, or one of another library whose columns are had by their names.

    Raises:
        InputError: If two columns have the same name.
    """
    check_names([str(name) for name in frame.columns])
    if not hasattr(frame, "iloc"):
        return Table({str(name): as_column(list(frame[name])) for name in frame.columns})
    return Table({str(name): _series_column(frame.iloc[:, i]) for i, name in enumerate(frame.columns)})


def check_names(names: Sequence[str]) -> None:
    """Refuses names of columns that occur twice.

    Raises:
        InputError: If one does.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"got several columns named {twice[0]!r}, expected each name once; rename or remove them.")


def as_column(values: object) -> Column:
    """A column of any sequence: numbers as float64, dates and spans of time as days; all else as texts.

    None and NaN are missing; truth values are texts.
    """
    array = np.asarray(values)
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
        array = np.asarray(values, dtype=np.object_)  # NumPy would make the text "nan" of a gap among texts
    if array.ndim == 0:
        raise InputError(f"got {values!r} as a column, expected a value for each row; write a list of them.")
    if array.ndim != 1:
        raise InputError(f"got a column of the shape {array.shape}, expected one dimension; flatten it.")
    if array.dtype.kind in "iuf":
        return array.astype(np.float64)
    if array.dtype.kind == "c":
        raise InputError("got a column of complex numbers, expected real ones; give their parts columns of their own.")
    if array.dtype.kind == "M":
        return _days(array)
    if array.dtype.kind == "m":
        return _durations(array)
    items = [None if _is_missing(item) else item for item in array.tolist()]
    if all(item is None or (isinstance(item, _NUMBERS) and not isinstance(item, bool)) for item in items):
        return np.array([np.nan if item is None else _as_float(item) for item in items], dtype=np.float64)
    if all(item is None or isinstance(item, timedelta) for item in items):
        return _durations(np.array(["NaT" if item is None else item for item in items], dtype="timedelta64[us]"))
    texts = np.empty(len(items), dtype=object)
    texts[:] = [None if item is None else _text(item) for item in items]
    dates = dates_as_days(texts) if all(item is None or isinstance(item, date) for item in items) else None
    return texts if dates is None else dates


def _series_column(series: Any) -> Column:
    kind = getattr(series.dtype, "kind", "O")
    if kind in "iuf":
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    if kind == "M":
        return as_column(series.to_numpy(dtype="datetime64[ns]"))
    if kind == "m":
        return as_column(series.to_numpy(dtype="timedelta64[ns]"))
    return as_column(series.astype(object).where(series.notna(), None).to_numpy(dtype=object))


def _as_float(number: Any) -> float:
    """The number; infinite where it has too many digits, which `check_finite` tells."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _is_missing(item: object) -> bool:
    return item is None or item != item or type(item).__name__ == "NAType"


def _text(item: object) -> str:
    return _number_text(item) or "" if isinstance(item, float) else str(item)


def _number_text(number: float) -> str | None:
    if number != number:
        return None
    return str(int(number)) if float(number).is_integer() else repr(float(number))
