"""What the command line prints: numbers, tables, JSON, and no passwords."""

from __future__ import annotations

import json
import math

import pytest

from studies.console import number_text, print_json, print_table, without_passwords


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (math.nan, "-"), (12345, "12,345"), (0.123456789, "0.12346"), (1e-9, "1e-09")]
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://ann:s3cret@host/db", "postgresql://ann:***@host/db"),
        ("postgresql+psycopg://ann:p@ss/w:rd@host:5432/db", "postgresql+psycopg://ann:***@host:5432/db"),
        ("mysql://:secret@host/db", "mysql://:***@host/db"),
        ("sqlite:///studies.db", "sqlite:///studies.db"),
        ("postgresql://ann@host:5432/db", "postgresql://ann@host:5432/db"),
    ],
)
def test_passwords_are_hidden(url: str, expected: str) -> None:
    assert without_passwords(f"cannot open {url!r}; try again") == f"cannot open {expected!r}; try again"


def test_columns_line_up_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "n"), [("a", "1"), ("longer", "22")])
    assert capsys.readouterr().out == "name    n\na       1\nlonger  22\n"


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"value": math.nan, "curve": (1.0, math.inf)})
    assert json.loads(capsys.readouterr().out) == {"value": None, "curve": [1.0, None]}
