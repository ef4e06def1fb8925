"""The program that a worker process runs: join a study, then run one trial for every "go" on standard input.

Started by `studies.workers` as `python -m studies.worker_process STUDY TOTAL FIRST INDEX`; the storage's URL, which may
hold a password, is in the environment. Standard output carries one JSON message a line to the parent; whatever
libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from automl.errors import InputError
from studies.storage import STORAGE_VARIABLE
from studies.study import load_study
from studies.workers import BAD_INPUT


def main(study_name: str, total: str, first: str, index: str) -> int:
    """Runs trials until the parent says "stop" or is gone; returns the exit status.

    Args:
        study_name: Name of the study.
        total: Trials that the study is to have in all; empty for no limit.
        first: Number of the first trial that counts as running.
        index: Number of this worker, from 0.
    """
    parent = _claim_standard_output()

    def tell(event: str, **fields: int) -> None:
        parent.write(json.dumps({"event": event, **fields}) + "\n")
        parent.flush()

    with _stopped_by_sigterm():
        try:
            study = load_study(study_name, os.environ[STORAGE_VARIABLE], stream=int(index) + 1)
            n_total = int(total) if total else None
            tell("ready")
            for word in sys.stdin:
                if word.strip() != "go":
                    break
                number = study.run_trial(
                    lambda number: tell("started", trial=number), n_total=n_total, first=int(first)
                )
                if number is not None:
                    tell("finished", trial=number)
                tell("ready")
        except (KeyboardInterrupt, BrokenPipeError):
            return 0
        except InputError as error:
            print(f"worker {index}: {error}", file=sys.stderr)
            return BAD_INPUT
    return 0


def _claim_standard_output() -> TextIO:
    """The pipe to the parent; what is printed from now on goes to standard error instead."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Turns the first SIGTERM into a KeyboardInterrupt, so that the running trial goes back into the queue."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
