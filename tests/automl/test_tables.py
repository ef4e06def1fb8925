"""Tables: what columns become that come from data frames, mappings, arrays and texts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from automl.data.tables import Table, as_column, as_numbers, as_table, as_texts, is_numeric, missing
from automl.errors import InputError


def test_columns_of_every_type_become_numbers_or_texts() -> None:
    frame = pd.DataFrame(
        {
            "whole": [1, 2, 3],
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "truth": [True, False, True],
            "category": pd.Categorical(["a", None, "b"]),
            "day": np.array(["1970-01-01T00", "NaT", "1970-01-03T12"], dtype="datetime64[ns]"),
            "mixed": ["x", 1.0, 2.5],
            "objects": pd.Series([1, None, 2.5], dtype=object),
            5: ["a", "b", "c"],
        }
    )
    table = as_table(frame)
    found = {name: column.tolist() for name, column in table.columns.items()}
    assert [name for name, column in table.columns.items() if is_numeric(column)] == [
        "whole",
        "nullable",
        "day",
        "objects",
    ]
    np.testing.assert_array_equal(found.pop("nullable"), [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(found.pop("day"), [0.0, np.nan, 2.5])
    np.testing.assert_array_equal(found.pop("objects"), [1.0, np.nan, 2.5])
    assert found == {
        "whole": [1.0, 2.0, 3.0],
        "truth": ["True", "False", "True"],
        "category": ["a", None, "b"],
        "mixed": ["x", "1", "2.5"],
        "5": ["a", "b", "c"],
    }


def test_rows_by_name_are_a_table_in_which_they_may_leave_gaps() -> None:
    table = as_table([{"a": 1, "b": "x"}, {"b": "y", "c": True}])
    assert {name: column.tolist()[1] for name, column in table.columns.items() if name != "a"} == {
        "b": "y",
        "c": "True",
    }
    np.testing.assert_array_equal(table.columns["a"], [1.0, np.nan])
    assert table.columns["c"].tolist() == [None, "True"]


class OtherFrame:
    """A data frame of another library than pandas, as far as it is read here."""

    columns = ("a", "b")
    dtypes = ("Int64", "String")

    def __getitem__(self, name: str) -> object:
        return {"a": [1, None, 3], "b": ["x", "y", None]}[name]


def test_frames_of_other_libraries_are_read_column_by_column() -> None:
    table = as_table(OtherFrame())
    np.testing.assert_array_equal(table.columns["a"], [1.0, np.nan, 3.0])
    assert table.columns["b"].tolist() == ["x", "y", None]


def test_numbers_of_a_list_of_rows_stay_numbers_beside_texts() -> None:
    table = as_table([[1.5, "x"], [2, "y"]])
    assert [column.tolist() for column in table.columns.values()] == [[1.5, 2.0], ["x", "y"]]


def test_whole_numbers_of_hundreds_of_digits_are_infinite() -> None:
    np.testing.assert_array_equal(as_column([10**400, -(10**400), 1]), [np.inf, -np.inf, 1.0])


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="got a list whose entries differ in shape"):
        as_table([[1, 2], [3]])


def test_gaps_in_a_list_of_texts_are_missing_whatever_stands_for_them() -> None:
    assert as_column(["a", float("nan"), "b"]).tolist() == as_column(["a", None, "b"]).tolist() == ["a", None, "b"]
    assert as_column([1.0, 2.5, "b"]).tolist() == ["1", "2.5", "b"]


def test_numbers_and_texts_are_read_as_each_other() -> None:
    texts = np.array(["1", None, "2.5"], dtype=object)
    numbers = as_numbers(texts)
    assert numbers is not None
    np.testing.assert_array_equal(numbers, [1.0, np.nan, 2.5])
    assert as_texts(numbers).tolist() == ["1", None, "2.5"]
    assert missing(texts).tolist() == missing(numbers).tolist() == [False, True, False]
    assert as_numbers(np.array(["1", "one"], dtype=object)) is None


def test_objects_of_numbers_dates_and_spans_of_time_become_numbers() -> None:
    table = as_table(
        pd.DataFrame(
            {
                "price": pd.Series([Decimal("12.50"), None], dtype=object),
                "single": pd.Series([np.float32(0.5), np.int64(2)], dtype=object),
                "day": [date(1970, 1, 3), None],
                "zone": [datetime(1970, 1, 2, 12, tzinfo=UTC), None],
                "span": pd.to_timedelta([36, None], unit="h"),
                "spans": pd.Series([timedelta(hours=36), None], dtype=object),
            }
        )
    )
    found = {name: as_texts(column).tolist() for name, column in table.columns.items() if is_numeric(column)}
    assert found == {
        "price": ["12.5", None],
        "single": ["0.5", "2"],
        "day": ["2", None],
        "zone": ["1.5", None],
        "span": ["1.5", None],
        "spans": ["1.5", None],
    }


def test_times_with_a_zone_are_those_of_utc() -> None:
    texts = ["1970-01-02T00:00:00Z", "1970-01-02 02:00:00+02:00", "1970-01-01 23:30 -0030", "1970-01-02", None]
    days = as_numbers(np.array(texts, dtype=object))
    np.testing.assert_array_equal(days, [1.0, 1.0, 1.0, 1.0, np.nan])
    assert as_numbers(np.array(["0001-01-01T00:00:00+05:00"], dtype=object)) is None


def test_the_digest_follows_names_and_values() -> None:
    table = Table({"a": np.array([1.0, 2.0]), "b": np.array(["x", None], dtype=object)})
    same = as_table({"a": [1, 2], "b": ["x", None]})
    others = [as_table({"a": [1, 3], "b": ["x", None]}), as_table({"c": [1, 2], "b": ["x", None]})]
    assert table.digest == same.digest and table.digest not in {other.digest for other in others}


def test_tables_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="different lengths"):
        as_table({"a": [1, 2], "b": [1]})
    with pytest.raises(InputError, match="several columns named 'a'"):
        as_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(InputError, match=r"the shape \(3,\)"):
        as_table(np.zeros(3))
    with pytest.raises(InputError, match="2 columns, expected 3: 'a', 'b', 'c'"):
        as_table(np.zeros((4, 2)), ["a", "b", "c"])
    with pytest.raises(InputError, match="complex numbers, expected real ones"):
        as_table(np.ones((3, 2), dtype=np.complex128))
