"""Tables: what columns become, wherever they come from."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automl.errors import InputError
from automl.tables import Table, as_column, as_numbers, as_table, as_texts, is_numeric, missing, read_table


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


def test_named_text_columns_keep_leading_zeros(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("zip,n\n01234,1\n04567,2\n")
    assert as_texts(read_table(tmp_path / "data.csv").columns["zip"]).tolist() == ["1234", "4567"]
    assert read_table(tmp_path / "data.csv", ["zip"]).columns["zip"].tolist() == ["01234", "04567"]


def test_dates_in_a_file_become_days_as_those_of_a_frame_do(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "day": np.array(["1970-01-02", "NaT", "2024-02-29"], dtype="datetime64[ns]"),
            "time": pd.date_range("2024-01-01", periods=3, freq="h"),
        }
    )
    frame.to_csv(tmp_path / "data.csv", index=False)
    read = read_table(tmp_path / "data.csv")
    assert read.digest == as_table(frame).digest
    assert read.columns["day"].tolist()[::2] == [1.0, 19782.0]
    assert read.notes == ("dates are read as days since 1970: 'day', 'time'.",)
    assert not is_numeric(read_table(tmp_path / "data.csv", text_columns=["day"]).columns["day"])


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


def test_lines_that_end_with_a_separator_shift_no_column(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b,c\n1,2,3,\n4,5,6,\n")
    table = read_table(tmp_path / "data.csv")
    assert {name: column.tolist() for name, column in table.columns.items()} == {"a": [1, 4], "b": [2, 5], "c": [3, 6]}
    assert not table.notes


def test_names_of_rows_are_left_out_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text('"a","b"\n"x",1,2\n"y",3,4\n')
    table = read_table(tmp_path / "data.csv")
    assert {name: column.tolist() for name, column in table.columns.items()} == {"a": [1, 3], "b": [2, 4]}
    assert table.notes == ("data.csv has one name fewer than columns: the first column is left out.",)


def test_a_gzipped_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 9999)[:-20])
    with pytest.raises(InputError, match="expected a whole file"):
        read_table(tmp_path / "data.csv.gz")


def test_texts_that_are_not_all_dates_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("month,mixed\n2024-13-01,2024-01-01\n2024-01-01,soon\n")
    assert not any(map(is_numeric, read_table(tmp_path / "data.csv").columns.values()))


def test_decimal_commas_are_numbers_where_commas_separate_no_cells(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("price;code\n1,5;1,5,2\n-2;3\n;4\n")
    table = read_table(tmp_path / "data.csv")
    np.testing.assert_array_equal(table.columns["price"].tolist(), [1.5, -2.0, np.nan])
    assert not is_numeric(table.columns["code"])
    assert table.notes == ("decimal commas are read as points: 'price'.",)
    (tmp_path / "data.csv").write_text('price,n\n"1,500",1\n')
    assert not is_numeric(read_table(tmp_path / "data.csv").columns["price"])


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
