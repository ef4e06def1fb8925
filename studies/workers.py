"""Several worker processes on one study: who runs how many trials, who died, and how all of them stop.

Each worker is a fresh process of a program (`studies.worker_process`) that joins the study by its name and the
storage's URL alone. The parent hands out the trials one by one over a pipe, so exactly as many are run as were asked
for, and a worker that dies gives its trial back. (`multiprocessing` would import the user's script once more in every
worker, and its shared locks do not survive a killed process.)

A worker says "ready", and for each "go" that it is told "started" and "finished" with the trial's number, then "ready"
again: one JSON object a line. Where it says "ready" and has finished nothing, the trial was withdrawn and goes back
into the budget. It ends when it is told "stop" or its pipe is closed.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from automl.errors import InputError

_logger = logging.getLogger("automl.studies")

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Environment variables that limit the threads of torch, MKL, OpenBLAS and numba, read when these are imported."""

BAD_INPUT = 2
"""Exit status of a worker that has said in a sentence what it was refused, such as its storage."""

_POLL_SECONDS = 0.2
# A worker that was asked to stop has this long to put its trial back into the queue before it is killed.
_STOP_SECONDS = 30.0


class Events(Protocol):
    """What the study does when a worker has news."""

    def finished(self, trial_number: int) -> None:
        """A worker has finished the trial."""

    def abandoned(self, trial_number: int) -> None:
        """The worker that ran the trial has died."""


@dataclass
class Budget:
    """How many trials may still be started, and until when.

    Args:
        n_trials: Trials to run; None for no limit.
        timeout: Seconds after which no trial is started; None for no limit.
        is_spent: Whether others have used up what there was to run, asked before each trial.
    """

    n_trials: int | None
    timeout: float | None
    is_spent: Callable[[], bool] = lambda: False
    started: float = field(default_factory=time.monotonic)

    def take(self) -> bool:
        """Whether another trial may be started; if so it counts from now on."""
        if not self.remains:
            return False
        if self.n_trials is not None:
            self.n_trials -= 1
        return True

    def give_back(self) -> None:
        """Returns a trial that was not run to its end: its worker died, or it was withdrawn."""
        if self.n_trials is not None:
            self.n_trials += 1

    @property
    def remains(self) -> bool:
        """Whether there are trials and time left."""
        in_time = self.timeout is None or time.monotonic() - self.started < self.timeout
        return in_time and (self.n_trials is None or self.n_trials > 0) and not self.is_spent()


class Worker:
    """One worker process and the pipe to it.

    Args:
        index: Number of the worker, from 0.
        command: What to run.
        environment: Its environment variables.
        news: Where its messages go, as (index, message); None stands for the end of the process.
    """

    def __init__(
        self,
        index: int,
        command: Sequence[str],
        environment: dict[str, str],
        news: queue.SimpleQueue[tuple[int, dict[str, Any] | None]],
    ) -> None:
        self.index = index
        self.trial: int | None = None
        self.busy = False
        # A session of its own: Ctrl-C in the terminal reaches the parent alone, which then stops every worker once.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(news,), daemon=True).start()

    def _read(self, news: queue.SimpleQueue[tuple[int, dict[str, Any] | None]]) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                news.put((self.index, json.loads(line)))
        self.process.wait()
        news.put((self.index, None))

    def tell(self, word: str) -> None:
        """Sends "go" or "stop"; a worker that is gone hears nothing."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()
        except OSError:
            _logger.debug("worker %d is gone already", self.index)

    def end(self) -> None:
        """Closes the pipe and sees the process off, by force if it does not stop in time."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
        except OSError:
            _logger.debug("worker %d is gone already", self.index)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run_workers(
    command: Sequence[str],
    n_workers: int,
    budget: Budget,
    events: Events,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Runs trials in worker processes until the budget is spent.

    Args:
        command: The program that a worker runs; the worker's number, from 0, is added to its arguments.
        n_workers: Number of processes; each gets its share of the cores.
        budget: How many trials, until when.
        events: Told, in this process, of every trial that finished or was abandoned.
        variables: Environment variables of every worker: what nobody else is to see in the list of processes.

    Raises:
        InputError: If all workers ended before the budget was spent, since each was refused something by a sentence.
        RuntimeError: If all workers died before the budget was spent.
        KeyboardInterrupt: After Ctrl-C, once every worker has put its trial back and stopped.
    """
    news: queue.SimpleQueue[tuple[int, dict[str, Any] | None]] = queue.SimpleQueue()
    environment = {**_environment(n_workers), **variables}
    workers: dict[int, Worker] = {}
    try:
        for index in range(n_workers):
            workers[index] = Worker(index, [*command, str(index)], environment, news)
        died = _serve(workers, news, budget, events)
    except BaseException:
        for worker in workers.values():
            worker.process.terminate()
        raise
    finally:
        for worker in workers.values():
            worker.end()
    if died and len(died) == n_workers and budget.remains:
        sort = InputError if set(died) == {BAD_INPUT} else RuntimeError
        raise sort(
            f"all {n_workers} worker processes died (exit status {', '.join(map(str, died))}) before all trials were "
            "run; see their messages above, then run the study again: nothing is lost."
        )


def _serve(
    workers: dict[int, Worker],
    news: queue.SimpleQueue[tuple[int, dict[str, Any] | None]],
    budget: Budget,
    events: Events,
) -> list[int]:
    """Hands out trials until all workers have stopped; returns the exit statuses of those that died."""
    alive, idle, died = set(workers), set[int](), list[int]()
    while alive:
        try:
            index, message = news.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            pass
        else:
            worker = workers[index]
            if message is None:
                alive.discard(index)
                idle.discard(index)
                if worker.process.returncode != 0:
                    died.append(worker.process.returncode)
                    _bury(worker, budget, events)
            elif _hear(worker, message, budget, events):
                idle.add(index)
        _hand_out([workers[index] for index in sorted(idle)], idle, budget, waiting=_any_busy(workers, alive))
    return died


def _hear(worker: Worker, message: dict[str, Any], budget: Budget, events: Events) -> bool:
    """Takes note of a worker's message; returns whether the worker now waits for a word."""
    if message["event"] == "started":
        worker.trial = int(message["trial"])
    elif message["event"] == "finished":
        worker.busy, worker.trial = False, None
        events.finished(int(message["trial"]))
    elif message["event"] == "ready":
        _take_back(worker, budget)
        worker.trial = None
        return True
    return False


def _take_back(worker: Worker, budget: Budget) -> None:
    """Returns a worker's trial to the budget, unless it has finished."""
    if worker.busy:
        budget.give_back()
        worker.busy = False


def _bury(worker: Worker, budget: Budget, events: Events) -> None:
    """Reports a worker's death and gives its trial back."""
    running = "" if worker.trial is None else f" while it ran trial {worker.trial}, which will be run once more"
    _logger.error("worker %d died with exit status %s%s", worker.index, worker.process.returncode, running)
    _take_back(worker, budget)
    if worker.trial is not None:
        events.abandoned(worker.trial)


def _hand_out(waiting_workers: Sequence[Worker], idle: set[int], budget: Budget, waiting: bool) -> None:
    """Gives each idle worker a trial, or sends it home once no running trial can come back into the budget."""
    for worker in waiting_workers:
        if budget.take():
            worker.busy = True
            worker.tell("go")
            idle.discard(worker.index)
        elif not waiting:
            worker.tell("stop")
            idle.discard(worker.index)


def _any_busy(workers: dict[int, Worker], alive: set[int]) -> bool:
    return any(workers[index].busy for index in alive)


def _environment(n_workers: int) -> dict[str, str]:
    """This process's environment with the cores shared out, and its import path so that workers find the same code."""
    threads = str(max(cores() // n_workers, 1))
    limits = {name: threads for name in THREAD_VARIABLES}
    return {**os.environ, **limits, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def cores() -> int:
    """Number of processor cores that this process may use."""
    usable: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1
