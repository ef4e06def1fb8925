"""What `automl run` does once its arguments are read: one search, from a table to a saved model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from shlex import quote
from typing import TextIO, cast

from automl.data.preprocessing import MAX_LEVELS
from automl.data.recipe import ImageShape
from automl.data.targets import Kind
from automl.errors import InputError, nearest
from automl.folders import MODEL, check_place
from automl.spaces.base import Space
from automl.spaces.cell import CellSpace
from automl.spaces.cnn import CNNSpace
from automl.spaces.mlp import MLPSpace
from automl.task import Task, load_task
from automl.trainer import TrainerSettings
from studies.attributes import TrialFacts
from studies.commands.listings import best_trial, study_names, summary
from studies.console import number_text, print_json, without_passwords
from studies.dashboard.figures_on_the_way import FiguresOnTheWay, publish_figures_if_possible
from studies.past_studies import ALL
from studies.progress import Best, progress
from studies.sampler_names import check_names
from studies.storage import DEFAULT_STORAGE, check_exists, check_lasting, default_path, holds_studies, sqlite_path
from studies.study import Study, create_study

_SPACES = ("mlp", "cnn", "cell")


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
        test_fraction: Share of the rows kept apart from the search; the best model is judged on them at the end.
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
    test_fraction: float = 0.0
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
        test_fraction=search.test_fraction,
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
    known = study_names(storage)
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
    check_place(folder, MODEL)


@contextmanager
def _no_empty_database(url: str) -> Iterator[None]:
    """Removes the SQLite file that opening made, if the block fails before a study is in it.

    Another process may have made it meanwhile, and a study in it.
    """
    path = sqlite_path(url)
    if path is None or path.exists():
        yield
        return
    try:
        yield
    except BaseException:
        if path.is_file() and holds_studies(path):
            raise
        for suffix in ("", "-wal", "-shm", "-journal"):
            made = path.with_name(path.name + suffix)
            if made.is_file():
                made.unlink()
        raise


def _announce(study: Study, trials: int, stream: TextIO) -> None:
    task, done = study.task, study.n_finished
    rows = f"{len(task.train)} rows to train on, {len(task.validation)} to validate on"
    rows += f", {len(task.test)} to test on" if task.test else ""
    print(f"task {task.name}: {task.kind} by {task.metric}, {task.n_features} inputs, {rows}", file=stream)
    for note in task.notes:
        print(f"note: {note}", file=stream)
    if done:
        left = max(trials - done, 0)
        print(f"study {study.name} goes on: {done} trials finished, {left} to go", file=stream)


def _optimise(study: Study, trials: int, timeout: float | None, workers: int, stream: TextIO) -> None:
    done = study.n_finished
    best = Best(study.definition.maximises, study.trials)
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
    publish_figures_if_possible(study)
    tested = study.test_metrics() if study.task.test else None
    if as_json:
        found = {"storage": without_passwords(storage), "model": str(folder), "test": tested}
        print_json({**summary(study, trial), **found})
    metric = study.definition.metric
    facts = TrialFacts.from_user_attrs(trial.user_attrs)
    _print_metrics("best", metric, {**facts.metrics, metric: study.best_value}, f"in trial {trial.number}", stream)
    if tested:
        _print_metrics("test", metric, tested, "on rows apart from the search", stream)
    shown = "" if storage == DEFAULT_STORAGE else f" --storage {quote(without_passwords(storage))}"
    print(f"dashboard: automl dashboard{shown}", file=stream)
    print(f"predict:   automl predict {quote(str(folder))} DATA.csv", file=stream)


def _print_metrics(what: str, metric: str, metrics: Mapping[str, float | None], where: str, stream: TextIO) -> None:
    """A line such as "best log_loss: 0.014 in trial 7 (accuracy 0.997)"."""
    others = ", ".join(f"{name} {number_text(value)}" for name, value in metrics.items() if name != metric)
    print(f"{what} {metric}: {number_text(metrics[metric])} {where}{f' ({others})' if others else ''}", file=stream)
