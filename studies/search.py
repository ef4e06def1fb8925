"""What `automl run` and `automl worker` do, once their arguments are read."""

from __future__ import annotations

import logging
import math
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import TextIO, cast

import optuna
from optuna.trial import FrozenTrial

from automl.errors import InputError, nearest
from automl.folders import check_place
from automl.preprocessing import MAX_LEVELS
from automl.spaces.base import Space
from automl.spaces.cell import CellSpace
from automl.spaces.cnn import CNNSpace
from automl.spaces.mlp import MLPSpace
from automl.targets import Kind
from automl.task import ImageShape, Task, load_task
from automl.trainer import TrainerSettings
from studies.attributes import BUDGET, DEFINITION, TrialFacts
from studies.console import (
    Best,
    number_text,
    print_json,
    progress,
    without_passwords,
)
from studies.listings import best_trial, summary
from studies.past_studies import ALL
from studies.sampler_names import check_names
from studies.storage import DEFAULT_STORAGE, check_exists, check_lasting, default_path, open_storage, sqlite_path
from studies.study import Study, create_study, load_study
from studies.workers import Budget

_SPACES = ("mlp", "cnn", "cell")
_MODEL_FILE = "model.json"
_FIRST_FIGURES = 15.0  # Seconds; shorter searches get theirs at the end.
_FIGURES_PAUSE = 20.0  # The next figures wait so many times as long as the last ones took.

_logger = logging.getLogger("automl.studies")


# --- automl run -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Search:
    """What is to be searched, as the command line takes it; None stands for a default.

    Args:
        task: A built-in name or the path of a file.
        target: The column to predict, for a file.
        kind: "classification" or "regression".
        ignore: Columns to leave out.
        max_levels: Most different texts that a column may hold.
        metric: What to optimise.
        space: "mlp", "cnn" or "cell".
        max_layers: Most layers of a network.
        max_units: Most units of a layer, or channels of a convolution.
        image_shape: Channels, height and width of the images whose pixels are the columns, as "1x28x28".
        sampler: A name of `studies.sampler_names`.
        epochs: Most epochs of a training.
        seed: Seed of proposals and initial weights.
        storage: URL of the database.
        study: Name of the study; made of the task and the sampler by default.
        transfer_from: Studies of the same storage to learn from: names, globs such as "mnist-*", or "all".
    """

    task: str
    target: str | None = None
    kind: str | None = None
    ignore: tuple[str, ...] = ()
    max_levels: int | None = None
    metric: str | None = None
    space: str = "mlp"
    max_layers: int | None = None
    max_units: int | None = None
    image_shape: str | None = None
    sampler: str = "nasbot"
    epochs: int | None = None
    seed: int = 0
    storage: str = DEFAULT_STORAGE
    study: str | None = None
    transfer_from: tuple[str, ...] = ()


def run(search: Search, *, trials: int, timeout: float | None, workers: int, model: Path | None, as_json: bool) -> None:
    """Creates the study or goes on with it until it has `trials` trials, saves the best model and says what to do next.

    Args:
        search: What is searched.
        trials: Trials in all.
        timeout: Seconds after which no trial is started.
        workers: Processes that run trials at once.
        model: Folder for the best model; named after the study by default.
        as_json: Whether to print the result as one JSON value, and all else on standard error.

    Raises:
        InputError: If an argument cannot be used; nothing has been written then.
    """
    space = _space(search.space, search.max_layers, search.max_units)
    check_names(search.sampler)
    check_lasting(search.storage)
    kind = cast("Kind | None", search.kind)  # load_task checks it
    task = load_task(
        search.task,
        search.target,
        kind=kind,
        metric=search.metric,
        ignore=search.ignore,
        max_levels=search.max_levels or MAX_LEVELS,
        image_shape=_image_shape(search.image_shape),
    )
    _check_sources(search.transfer_from, search.storage)
    name = f"{task.name}-{search.sampler}" if search.study is None else search.study
    folder = model or default_path(name, ".model")
    check_model_folder(folder)
    study = _opened(search, name, task, space)
    stream = sys.stderr if as_json else sys.stdout
    _announce(study, trials, stream)
    _optimise(study, trials, timeout, workers, stream)
    _finish(study, folder, search.storage, as_json, stream)


def _opened(search: Search, name: str, task: Task, space: Space) -> Study:
    with _no_empty_database(search.storage):
        return create_study(
            name,
            task=task,
            space=space,
            sampler=search.sampler,
            storage=search.storage,
            transfer_from=search.transfer_from,
            seed=search.seed,
            settings=None if search.epochs is None else TrainerSettings(max_epochs=search.epochs),
            load_if_exists=True,
        )


def _space(name: str, max_layers: int | None, max_units: int | None) -> Space:
    """The space of a name, with limits of its size where they are asked for."""
    if name not in _SPACES:
        raise InputError(f"got the space {name!r}, expected one of {', '.join(_SPACES)}; choose one of these.")
    if name == "cell":
        if max_layers is not None or max_units is not None:
            raise InputError(
                "got --max-layers or --max-units for the space 'cell', whose networks are all of one size; leave them "
                "out, or choose --space cnn."
            )
        return CellSpace()
    space: MLPSpace | CNNSpace = MLPSpace() if name == "mlp" else CNNSpace()
    fewest, most = space.units
    most = most if max_units is None else max_units
    return replace(space, max_layers=max_layers or space.max_layers, units=(min(fewest, most), most))


def _image_shape(text: str | None) -> ImageShape | None:
    """Channels, height and width as numbers."""
    if text is None:
        return None
    sizes = text.lower().split("x")
    if len(sizes) != 3 or not all(size.strip().isdecimal() and int(size) > 0 for size in sizes):
        raise InputError(
            f"got --image-shape {text}, expected channels, height and width such as 1x28x28; write three numbers "
            "with x between them."
        )
    channels, height, width = map(int, sizes)
    return channels, height, width


def _check_sources(names: Sequence[str], storage: str) -> None:
    """Refuses to learn from studies that are not there; "all" may be none, as in the first study of a storage."""
    named = [name for name in names if name != ALL]
    if not named:
        return
    check_exists(storage)
    known = _study_names(storage)
    for name in named:
        if not any(study == name or fnmatchcase(study, name) for study in known):
            raise InputError(
                f"got --transfer-from {name}, which the storage lacks; it has {nearest(name, known) or 'no study'}: "
                "choose one of these."
            )


def check_model_folder(folder: Path) -> None:
    """Refuses a place where a model could not be saved at the end.

    Raises:
        InputError: If there is something else, or the place cannot be written.
    """
    check_place(folder, _MODEL_FILE)


@contextmanager
def _no_empty_database(url: str) -> Iterator[None]:
    """Removes the SQLite file that opening made, if the block fails before a study is in it."""
    path = sqlite_path(url)
    if path is None or path.exists():
        yield
        return
    try:
        yield
    except BaseException:
        for suffix in ("", "-wal", "-shm", "-journal"):
            made = path.with_name(path.name + suffix)
            if made.is_file():
                made.unlink()
        raise


def _announce(study: Study, trials: int, stream: TextIO) -> None:
    task, done = study.task, study.n_finished
    rows = f"{len(task.train)} rows to train on, {len(task.validation)} to validate on"
    print(f"task {task.name}: {task.kind} by {task.metric}, {task.n_features} inputs, {rows}", file=stream)
    for note in task.notes:
        print(f"note: {note}", file=stream)
    if done:
        left = max(trials - done, 0)
        print(f"study {study.name} goes on: {done} trials finished, {left} to go", file=stream)


def _optimise(study: Study, trials: int, timeout: float | None, workers: int, stream: TextIO) -> None:
    done = study.n_finished
    best = Best(study.definition.direction == "maximize", study.trials)
    try:
        if done < trials:
            with progress(study.definition.metric, trials, done, best, stream, study.running) as listener:
                study.optimize(
                    trials - done,
                    timeout=timeout,
                    n_workers=workers,
                    callbacks=[listener, FiguresOnTheWay(study)],
                    show_progress=False,
                    n_total=trials,
                )
    except KeyboardInterrupt:
        print(
            f"automl: interrupted after {study.n_finished} of {trials} trials; nothing is lost: "
            "run the same command again to go on.",
            file=sys.stderr,
        )
        raise


def _finish(study: Study, folder: Path, storage: str, as_json: bool, stream: TextIO) -> None:
    trial = best_trial(study)
    study.best_model().save(folder)
    _publish_figures(study)
    if as_json:
        print_json({**summary(study, trial), "storage": without_passwords(storage), "model": str(folder)})
    metric = study.definition.metric
    facts = TrialFacts.from_user_attrs(trial.user_attrs)
    others = ", ".join(f"{name} {number_text(value)}" for name, value in facts.metrics.items() if name != metric)
    print(
        f"best {metric}: {number_text(trial.value)} in trial {trial.number}{f' ({others})' if others else ''}",
        file=stream,
    )
    shown = "" if storage == DEFAULT_STORAGE else f" --storage {quote(without_passwords(storage))}"
    print(f"dashboard: automl dashboard{shown}", file=stream)
    print(f"predict:   automl predict {quote(str(folder))} DATA.csv", file=stream)


def _publish_figures(study: Study) -> None:
    """Stores the dashboard's figures with the study, where the dashboard is installed at all."""
    if find_spec("optuna_dashboard") and find_spec("plotly"):
        from studies.plots import publish_figures

        publish_figures(study)


class FiguresOnTheWay:
    """Keeps the dashboard's figures fresh while trials run, in about a twentieth of the time at most.

    Called with every finished trial, as Optuna's callbacks are. Workers leave it to `automl run`: a figure is stored in
    pieces, which must not be those of two processes.

    Args:
        study: Whose figures.
        clock: Seconds that have passed, from any start.
    """

    def __init__(self, study: Study, clock: Callable[[], float] = time.monotonic) -> None:
        self._study = study
        self._clock = clock
        self._due = clock() + _FIRST_FIGURES

    def __call__(self, _: optuna.Study, trial: FrozenTrial) -> None:
        """Publishes them if they are due."""
        started = self._clock()
        if started < self._due:
            return
        try:
            _publish_figures(self._study)
        except Exception as error:  # Whatever a figure fails of, it must not end a search of hours.
            _logger.warning("the dashboard's figures are not kept up to date: %s: %s", type(error).__name__, error)
            self._due = math.inf
        else:
            self._due = self._clock() + _FIGURES_PAUSE * (self._clock() - started)


# --- automl worker --------------------------------------------------------------------------------------------------


def work(storage: str, *, study: str | None, trials: int | None, timeout: float | None) -> None:
    """Joins the studies of a storage, or one of them, and runs trials as long as their budgets last.

    Args:
        storage: URL of the storage.
        study: Name of the study; None for all that have trials left.
        trials: Trials to run here at most, in all studies together; a study that is named may thereby exceed its
            budget.
        timeout: Seconds after which no trial is started in any of them.

    Raises:
        InputError: If there is no such storage or study, or it has no budget and none is given.
    """
    check_exists(storage)
    names = [study] if study is not None else _defined_studies(storage)
    here = Budget(trials, timeout)
    for name in names:
        joined = load_study(name, storage, stream=secrets.randbelow(2**31))
        budget = joined.optuna.user_attrs.get(BUDGET, {}).get("n_trials")
        if budget is None and trials is None and timeout is None:
            raise InputError(f"study {name!r} has no budget of trials; give this worker --trials or --timeout.")
        _work_on(joined, None if study and trials else budget, here)


def _study_names(storage: str) -> list[str]:
    """Names of this project's studies in a storage."""
    summaries = optuna.study.get_all_study_summaries(open_storage(storage), include_best_trial=False)
    return [summary.study_name for summary in summaries if DEFINITION in summary.user_attrs]


def _defined_studies(storage: str) -> list[str]:
    names = _study_names(storage)
    if not names:
        raise InputError(
            f"the storage {without_passwords(storage)!r} holds no study of automl; start one there with 'automl run'."
        )
    return names


def _work_on(study: Study, budget: int | None, here: Budget) -> None:
    """Runs trials of a study until it has as many as its budget says, or this worker has run all of its own."""
    study.requeue_abandoned()
    best = Best(study.definition.direction == "maximize", study.trials)
    print(f"study {study.name}: {study.n_finished} trials finished" + (f" of {budget}" if budget else ""), flush=True)
    done = study.n_finished
    with progress(study.definition.metric, budget, done, best, sys.stdout, study.running) as listener:
        while (budget is None or study.n_started() < budget) and here.take():
            if study.run_trial(callbacks=[listener], n_total=budget) is None:
                here.give_back()
