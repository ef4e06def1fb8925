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


def test_commas_that_may_separate_thousands_beside_decimal_points_make_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("price;size;share\n3,497;1.5;0,125\n810;2.5;0,250\n")
    table = read_table(tmp_path / "data.csv")
    assert table.columns["price"].tolist() == ["3,497", "810"]
    assert table.columns["share"].tolist() == [0.125, 0.25]  # nobody writes thousands like that
    (tmp_path / "data.csv").write_text("price;size\n3,497;1,5\n810;2,5\n")
    assert read_table(tmp_path / "data.csv").columns["price"].tolist() == [3.497, 810.0]


def test_names_with_line_breaks_count_as_one(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text('\n"price\n(USD)",town\n1,"Ghent\nBruges"\n2,Ypres\n')
    table = read_table(tmp_path / "data.csv")
    assert list(table.columns) == ["price\n(USD)", "town"]
    assert table.columns["town"].tolist() == ["Ghent\nBruges", "Ypres"]
    assert not table.notes


def test_a_quote_that_is_never_closed_is_told(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text('a,"b\n' + "1,2\n" * 500)
    with pytest.raises(InputError, match=r"data\.csv"):
        read_table(tmp_path / "data.csv")


def test_the_named_index_of_a_parquet_file_is_a_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"town": ["Ghent", "Bruges"], "x": [1.0, 2.0]})
    frame.set_index("town").to_parquet(tmp_path / "data.parquet")
    assert read_table(tmp_path / "data.parquet").digest == as_table(frame).digest
    frame.to_parquet(tmp_path / "data.parquet")
    assert read_table(tmp_path / "data.parquet").digest == as_table(frame).digest
