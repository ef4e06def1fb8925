"""What a search shows of its progress, on a terminal and in a pipe."""

from __future__ import annotations

import io

import optuna
import pytest

from studies.attributes import TrialFacts
from studies.progress import Best, progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def trial(number: int, value: float | None, state: optuna.trial.TrialState) -> optuna.trial.FrozenTrial:
    facts = TrialFacts(
        depth=3, parameters=12345, epochs=20, seconds=1.25, reason="it diverged" if value is None else ""
    )
    made = optuna.trial.create_trial(state=state, value=value, user_attrs=facts.to_user_attrs())
    made.number = number
    return made


COMPLETE = optuna.trial.TrialState.COMPLETE
TRIALS = (
    trial(0, 0.5, COMPLETE),
    trial(1, None, optuna.trial.TrialState.FAIL),
    trial(2, 0.25, COMPLETE),
    trial(3, 0.75, COMPLETE),
)


def shown(stream: io.StringIO, maximise: bool = False) -> str:
    best = Best(maximise)
    with progress("log_loss", 10, 5, best, stream) as listener:
        for one in TRIALS:
            listener(optuna.create_study(), one)
    return stream.getvalue()


@pytest.fixture(autouse=True)
def quiet_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def test_a_pipe_gets_one_plain_line_a_trial() -> None:
    lines = shown(io.StringIO()).splitlines()
    assert lines == [
        "[6/10] trial 0: log_loss 0.5, depth 3, 12,345 parameters, 20 epochs, 1.2 s; best 0.5 in trial 0",
        "[7/10] trial 1: failed, it diverged; best 0.5 in trial 0",
        "[8/10] trial 2: log_loss 0.25, depth 3, 12,345 parameters, 20 epochs, 1.2 s; best 0.25 in trial 2",
        "[9/10] trial 3: log_loss 0.75, depth 3, 12,345 parameters, 20 epochs, 1.2 s; best 0.25 in trial 2",
    ]


def test_a_terminal_shows_how_far_the_trainings_are() -> None:
    running = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING, value=None, intermediate_values={1: 0.9, 12: 0.3125}
    )
    running.number = 7
    stream = Terminal()
    with progress("log_loss", 10, 0, Best(False), stream, lambda: [running]):
        pass
    assert "trial 7 trains: epoch 12, log_loss 0.3125" in stream.getvalue()


def test_a_storage_that_does_not_answer_ends_no_progress() -> None:
    def fails() -> list[optuna.trial.FrozenTrial]:
        raise OSError("database is locked")

    stream = Terminal()
    with progress("log_loss", 10, 0, Best(False), stream, fails) as listener:
        listener(optuna.create_study(), TRIALS[0])
    assert "1/10" in stream.getvalue()


def test_a_terminal_gets_a_table_and_a_bar() -> None:
    text = shown(Terminal())
    assert "12,345" in text
    assert "0.25 in trial 2" in text
    assert "9/10" in text


def test_the_best_trial_is_the_largest_where_that_is_wanted() -> None:
    assert shown(io.StringIO(), maximise=True).endswith("best 0.75 in trial 3\n")


def test_failed_trials_are_never_the_best() -> None:
    assert str(Best(False, [TRIALS[1]])) == "none yet"
