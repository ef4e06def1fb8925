"""Tables read from CSV files: headers, separators, dates and decimal commas are told from the files themselves."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automl.data.table_files import read_table
from automl.data.tables import as_table, as_texts, is_numeric
from automl.errors import InputError


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
