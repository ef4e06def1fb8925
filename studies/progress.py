"""Live progress of a search: the trials that finished, the best so far, and how far the running trainings are.

A terminal gets a display that is redrawn in place; a pipe or a file gets one plain line a trial.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from studies.attributes import TrialFacts
from studies.console import number_text, rich_table, trial_cells, trial_columns

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial
    from rich.console import RenderableType
    from rich.progress import Progress

_SHOWN_TRIALS = 8
_LOOK_SECONDS = 2.0  # between two looks into the storage for what trains


class Listener(Protocol):
    """Is told of every finished trial."""

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Shows the trial."""


class Best:
    """The best trial so far.

    Args:
        maximise: Whether larger values are better.
        trials: Trials that are known already.
    """

    def __init__(self, maximise: bool, trials: Sequence[FrozenTrial] = ()) -> None:
        self._sign = -1.0 if maximise else 1.0
        self.value: float | None = None
        self.number: int | None = None
        for trial in trials:
            self.add(trial)

    def add(self, trial: FrozenTrial) -> None:
        """Takes note of a finished trial."""
        if trial.state.name != "COMPLETE" or trial.value is None:
            return
        if self.value is None or self._sign * trial.value < self._sign * self.value:
            self.value, self.number = trial.value, trial.number

    def __str__(self) -> str:
        return "none yet" if self.value is None else f"{number_text(self.value)} in trial {self.number}"


@contextmanager
def progress(
    metric: str,
    total: int | None,
    done: int,
    best: Best,
    stream: TextIO,
    running: Callable[[], Sequence[FrozenTrial]] = tuple,
) -> Iterator[Listener]:
    """Shows every finished trial while the block runs: live on a terminal, else a line a trial.

    Args:
        metric: Name of the objective.
        total: Trials to run in all; None where only time limits them.
        done: Trials that were finished before.
        best: The best trial so far.
        stream: Where to write.
        running: The trials that train now, whose epochs a terminal shows.
    """
    if not stream.isatty():
        yield _PlainProgress(metric, total, done, best, stream)
        return
    with _LiveProgress(metric, total, done, best, stream, running).shown() as live:
        yield live


class _PlainProgress:
    def __init__(self, metric: str, total: int | None, done: int, best: Best, stream: TextIO) -> None:
        self._metric, self._total, self._done, self._best, self._stream = metric, total, done, best, stream

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._done += 1
        self._best.add(trial)
        of = "" if self._total is None else f"/{self._total}"
        print(
            f"[{self._done}{of}] {_trial_line(trial, self._metric)}; best {self._best}", file=self._stream, flush=True
        )


def _trial_line(trial: FrozenTrial, metric: str) -> str:
    """One trial in a line: "trial 3: log_loss 0.123, depth 5, 12,345 parameters, 20 epochs, 3.1 s"."""
    facts = TrialFacts.from_user_attrs(trial.user_attrs)
    if trial.state.name == "FAIL":
        return f"trial {trial.number}: failed, {facts.reason or 'without a reason'}"
    parts = [
        f"trial {trial.number}: {'pruned, ' if trial.state.name == 'PRUNED' else ''}{metric} {number_text(trial.value)}"
    ]
    for value, text in ((facts.depth, "depth {}"), (facts.parameters, "{} parameters"), (facts.epochs, "{} epochs")):
        if value is not None:
            parts.append(text.format(number_text(value)))
    if facts.seconds is not None:
        parts.append(f"{facts.seconds:.1f} s")
    return ", ".join(parts)


class _LiveProgress:
    """A bar, a table of the last trials, and the epochs of those that train, redrawn in place."""

    def __init__(
        self,
        metric: str,
        total: int | None,
        done: int,
        best: Best,
        stream: TextIO,
        running: Callable[[], Sequence[FrozenTrial]],
    ) -> None:
        self._running, self._training, self._looked = running, "", -math.inf
        self._metric, self._total, self._done, self._best, self._stream = metric, total, done, best, stream
        self._last: deque[tuple[int, list[str]]] = deque(maxlen=_SHOWN_TRIALS)
        self._bar = _bar()
        self._task = self._bar.add_task(self._next(), total=total, completed=done)

    @contextmanager
    def shown(self) -> Iterator[_LiveProgress]:
        """Shows the progress while the block runs; the last state stays on the screen."""
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream)
        with Live(get_renderable=self._render, console=console, refresh_per_second=5):
            yield self
        self._bar.stop()

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._done += 1
        self._best.add(trial)
        self._last.append((trial.number, trial_cells(trial, trial.value)))
        self._looked = -math.inf
        self._bar.update(self._task, completed=self._done, description=self._next())

    def _next(self) -> str:
        if self._total is not None and self._done >= self._total:
            return f"{self._done} trials"
        return f"trial {self._done + 1}"

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        best = Text.assemble("best ", self._metric, " ", (str(self._best), "bold green"))
        lines = self._now_training()
        training = [Text(lines, "dim")] if lines else []
        if not self._last:
            return Group(best, *training, self._bar)
        rows = [cells for _, cells in self._last]
        marked = next((i for i, (number, _) in enumerate(self._last) if number == self._best.number), None)
        return Group(rich_table(trial_columns(self._metric), rows, marked), best, *training, self._bar)

    def _now_training(self) -> str:
        """A line for each of the trials that train, as they were at the last look."""
        if time.monotonic() < self._looked + _LOOK_SECONDS:
            return self._training
        try:
            trials = self._running()[-_SHOWN_TRIALS:]
            self._training = "\n".join(_epochs_line(trial, self._metric) for trial in trials)
        except Exception:  # A busy database, for example, must not end what is shown.
            self._training = ""
        self._looked = time.monotonic()
        return self._training


def _epochs_line(trial: FrozenTrial, metric: str) -> str:
    """How far a training is: "trial 3 trains: epoch 7, log_loss 0.31"."""
    values = trial.intermediate_values
    if not values:
        return f"trial {trial.number} trains"
    last = max(values)
    return f"trial {trial.number} trains: epoch {last}, {metric} {number_text(values[last])}"


def _bar() -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


@contextmanager
def trial_bar(n_trials: int | None, show: bool | None) -> Iterator[Listener]:
    """A plain progress bar on standard error, for studies that run from Python.

    Args:
        n_trials: Trials to run; None where only time limits them.
        show: Whether to show it; None for on a terminal alone.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = ("trial", MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not (console.is_terminal if show is None else show)) as bar:
        row = bar.add_task("", total=n_trials)

        def advance(study: optuna.Study, trial: FrozenTrial) -> None:
            best = f"best {study.best_value:.5g}" if trial.state.name == "COMPLETE" else None
            bar.update(row, advance=1, description=best)

        yield advance
