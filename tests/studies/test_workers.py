"""Handing out trials to worker processes: here small programs that speak the workers' protocol and train nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from automl.errors import InputError
from studies.storage import STORAGE_VARIABLE
from studies.workers import Budget, run_workers

_HONEST = """
import json, sys
folder, index = sys.argv[1], int(sys.argv[2])
def tell(event, **fields): print(json.dumps({"event": event, **fields}), flush=True)
tell("ready")
trial = 100 * index
for word in sys.stdin:
    if word.strip() != "go": break
    trial += 1
    tell("started", trial=trial)
    BODY
    tell("finished", trial=trial)
    tell("ready")
open(f"{folder}/ended-{index}", "w").close()
"""
_DIES_ONCE = """
    import os, time
    if index == 0:
        open(f"{folder}/dying", "w").close()
        os.kill(os.getpid(), 9)
    while not os.path.exists(f"{folder}/dying"):
        time.sleep(0.01)  # until the first worker has had its trial
"""
_STAYS = """
    import signal, time
    def stop(*_):
        open(f"{folder}/stopped-{index}", "w").close()
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    if index: tell("finished", trial=trial)
    time.sleep(60)
"""


_WITHDRAWS_ONCE = """
    import os
    if not os.path.exists(f"{folder}/withdrawn"):
        open(f"{folder}/withdrawn", "w").close()
        tell("ready")
        continue
"""
_TELLS_A_SECRET = """
    import os
    open(f"{folder}/secret", "w").write(os.environ["SECRET"])
"""
_TELLS_ITS_THREADS = """
    import os
    open(f"{folder}/threads", "w").write(os.environ["OMP_NUM_THREADS"])
"""


@dataclass
class Ledger:
    """Notes what the parent is told."""

    done: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    interrupts: bool = False

    def finished(self, trial_number: int) -> None:
        self.done.append(trial_number)
        if self.interrupts:
            raise KeyboardInterrupt

    def abandoned(self, trial_number: int) -> None:
        self.lost.append(trial_number)


def run(
    tmp_path: Path,
    body: str,
    n_workers: int,
    budget: Budget,
    ledger: Ledger,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Runs workers whose trials do what the body says."""
    program = tmp_path / "worker.py"
    program.write_text(_HONEST.replace("    BODY\n", body))
    run_workers([sys.executable, str(program), str(tmp_path)], n_workers, budget, ledger, variables or {})


def test_exactly_as_many_trials_are_run_as_were_asked_for_and_all_workers_end(tmp_path: Path) -> None:
    ledger = Ledger()
    run(tmp_path, "", 3, Budget(7, None), ledger)
    assert len(ledger.done) == 7
    assert {path.name for path in tmp_path.glob("ended-*")} == {"ended-0", "ended-1", "ended-2"}


def test_a_worker_that_dies_is_reported_and_its_trial_is_run_by_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    run(tmp_path, _DIES_ONCE, 2, Budget(4, None), ledger)
    assert ledger.lost == [1]
    assert ledger.done == [101, 102, 103, 104]
    assert "worker 0 died with exit status -9 while it ran trial 1, which will be run once more" in caplog.text


def test_a_trial_that_is_withdrawn_goes_back_into_the_budget(tmp_path: Path) -> None:
    ledger = Ledger()
    run(tmp_path, _WITHDRAWS_ONCE, 1, Budget(2, None), ledger)
    assert (ledger.done, ledger.lost) == ([2, 3], [])


def test_workers_get_variables_that_the_list_of_processes_lacks(tmp_path: Path) -> None:
    run(tmp_path, _TELLS_A_SECRET, 1, Budget(1, None), Ledger(), {"SECRET": "s3cret"})
    assert (tmp_path / "secret").read_text() == "s3cret"


@pytest.mark.parametrize(("n_workers", "threads"), [(3, "2"), (9, "1")])
def test_workers_share_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_workers: int, threads: str) -> None:
    monkeypatch.setattr("studies.workers.cores", lambda: 7)
    run(tmp_path, _TELLS_ITS_THREADS, n_workers, Budget(1, None), Ledger())
    assert (tmp_path / "threads").read_text() == threads


def test_an_error_tells_when_all_workers_have_died(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="all 1 worker processes died"):
        run(tmp_path, _DIES_ONCE, 1, Budget(4, None), Ledger())


def test_workers_that_were_all_refused_something_are_no_fault_of_the_program(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"all 2 worker processes died \(exit status 2, 2\)"):
        run(tmp_path, "\n    sys.exit(2)\n", 2, Budget(4, None), Ledger())


def test_a_worker_says_in_a_sentence_what_it_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = f"sqlite:///{tmp_path / 'missing.db'}"
    command = [sys.executable, "-m", "studies.worker_process", "study", "", "0"]
    with pytest.raises(InputError, match="all 1 worker processes died"):
        run_workers(command, 1, Budget(1, None), Ledger(), {STORAGE_VARIABLE: missing})
    errors = capfd.readouterr().err
    assert "worker 0: " in errors and "does not exist" in errors
    assert "Traceback" not in errors


def test_an_interrupt_stops_every_worker_in_its_trial(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, _STAYS, 2, Budget(4, None), Ledger(interrupts=True))
    assert (tmp_path / "stopped-1").exists()
    assert not list(tmp_path.glob("ended-*"))
    assert threading.active_count() < 20


def test_no_trial_is_started_after_the_timeout(tmp_path: Path) -> None:
    ledger = Ledger()
    run(tmp_path, "", 1, Budget(None, 0.0), ledger)
    assert ledger.done == []


def test_a_budget_counts_what_is_taken_and_given_back() -> None:
    budget = Budget(2, None)
    assert [budget.take(), budget.take(), budget.take()] == [True, True, False]
    budget.give_back()
    assert budget.take()
    assert Budget(None, None).take()


def test_nothing_is_left_of_a_budget_that_others_have_spent() -> None:
    answers = iter([False, True])
    budget = Budget(5, None, lambda: next(answers))
    assert [budget.take(), budget.take()] == [True, False]
