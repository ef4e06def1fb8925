"""What the command line prints: tables that are ruled on a terminal, plain lines and JSON everywhere else."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from studies.attributes import TrialFacts, json_ready

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from rich.table import Table

_PASSWORD = re.compile(r"(://[^\s:/@]*):\S*@")  # a password may hold "@" itself: up to the last one


def without_passwords(text: str) -> str:
    """The text with the password of every URL in it hidden.

    Examples:
        >>> without_passwords("cannot open postgresql://ann:secret@host/studies")
        'cannot open postgresql://ann:***@host/studies'
    """
    return _PASSWORD.sub(r"\1:***@", text)


def print_json(value: Any) -> None:
    """One JSON value on standard output; NaN becomes null."""
    print(json.dumps(json_ready(value), allow_nan=False))


def print_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: ruled and coloured on a terminal, else columns that line up, one row a line."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(rich_table(names, rows))
        return
    widths = [max(len(row[i]) for row in [names, *rows]) for i in range(len(names))]
    for row in [names, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def number_text(value: float | None) -> str:
    """A value as people read it: five significant figures, whole numbers in full, "-" where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}"


def cell_text(value: Any) -> str:
    """A fact as people read it: `number_text` of numbers, other things as they are."""
    return number_text(value) if value is None or isinstance(value, int | float) else str(value)


def fate_text(trial: FrozenTrial, retried: Collection[int] = ()) -> str:
    """A word for what became of a trial: its state, unless Optuna marks it as failed for want of a fitting one.

    Trials that are queued once more, whose numbers are in `retried`, were interrupted; those that were withdrawn before
    they had parameters were never run.
    """
    if trial.number in retried:
        return "interrupted"
    if trial.state.name != "FAIL":
        return trial.state.name.lower()
    return "failed" if trial.params else "not run"


def trial_cells(trial: FrozenTrial, value: float | None, retried: Collection[int] = ()) -> list[str]:
    """One trial as a row: its number, what became of it, value and what is known of its network and training."""
    facts = TrialFacts.from_user_attrs(trial.user_attrs)
    state = fate_text(trial, retried)
    sizes = (facts.depth, facts.parameters, facts.epochs)
    seconds = "-" if facts.seconds is None else f"{facts.seconds:.1f}"
    return [str(trial.number), number_text(value), state, *map(number_text, sizes), seconds]


def trial_columns(metric: str) -> list[str]:
    """The names of the columns of `trial_cells`."""
    return ["trial", metric, "state", "depth", "parameters", "epochs", "seconds"]


def rich_table(names: Sequence[str], rows: Sequence[Sequence[str]], marked: int | None = None) -> Table:
    """The table as rich draws it on a terminal: columns of numbers to the right, the marked row in green."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    numeric = [all(_looks_numeric(row[i]) for row in rows) for i in range(len(names))]
    for name, right in zip(names, numeric, strict=True):
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for i, row in enumerate(rows):
        table.add_row(*map(Text, row), style="green" if i == marked else "")
    return table


def _looks_numeric(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] == "-"
