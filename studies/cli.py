"""The `automl` command: reads arguments, hands them to the modules that do the work, and turns errors into sentences.

Everything heavy (torch, Optuna, pandas) is imported when a command runs, so `automl --help` answers at once. Exit
status 0 means done, 2 bad input (one line on standard error, nothing written), 130 interrupted, 1 a fault of the
program.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from automl.errors import InputError
from studies.benchmark.command import benchmark

_BAD_INPUT, _FAULT, _INTERRUPTED = 2, 1, 130

app = typer.Typer(
    help="Neural networks by NASBOT and other searches: from a table to a model that predicts.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help needs a third of the time of a ruled one
)


def _at_least(least: float) -> Callable[[typer.CallbackParam, float | None], float | None]:
    """Checks an option's number; typer's own check does not say what was got."""

    def check(param: typer.CallbackParam, value: float | None) -> float | None:
        if value is not None and not value >= least:
            raise InputError(f"got {param.opts[0]} {value}, expected {least} or more; raise it.")
        return value

    return check


Timeout = Annotated[float | None, typer.Option(callback=_at_least(0), help="Seconds after which no trial is started.")]
Storage = Annotated[str, typer.Option("--storage", envvar="AUTOML_STORAGE", help="URL of the database of studies.")]
Name = Annotated[str, typer.Argument(help="Name of the study.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value instead, for scripts.")]

_STORAGE = "sqlite:///automl.db"


@app.callback()
def _global(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (or set AUTOML_DEBUG=1).")] = False,
) -> None:
    """Options of `automl` itself; `main` takes both out of the arguments before they are read."""


@app.command()
def run(
    task: Annotated[str, typer.Argument(help="digits, wine, iris, breast_cancer, diabetes, or a CSV or Parquet file.")],
    target: Annotated[str | None, typer.Option(help="Column to predict, for a file.")] = None,
    trials: Annotated[
        int, typer.Option(callback=_at_least(1), help="Trials in all; a study goes on where it was.")
    ] = 30,
    timeout: Timeout = None,
    sampler: Annotated[
        str, typer.Option(help="nasbot, nao, combined, evolution, local-search, random, tpe, gp, cmaes or nsgaii.")
    ] = "nasbot",
    space: Annotated[str, typer.Option(help="mlp; for images cnn or cell.")] = "mlp",
    max_layers: Annotated[
        int | None, typer.Option(callback=_at_least(1), help="Most layers; 8 of mlp, 12 of cnn by default.")
    ] = None,
    max_units: Annotated[
        int | None,
        typer.Option(callback=_at_least(1), help="Most units of a layer (channels of cnn); 512 or 64 by default."),
    ] = None,
    image_shape: Annotated[
        str | None, typer.Option(help="Where columns are pixels: channels x height x width, such as 1x28x28.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="classification or regression; else told by the target.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Column to leave out; may be repeated.")] = None,
    max_levels: Annotated[
        int | None, typer.Option(callback=_at_least(1), help="Most different texts of a column; 100 by default.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="What to optimise; log_loss or rmse by default.")] = None,
    test_fraction: Annotated[
        float, typer.Option(callback=_at_least(0), help="Share of the rows kept apart, to judge the best model by.")
    ] = 0.0,
    epochs: Annotated[int | None, typer.Option(callback=_at_least(1), help="Most epochs of a training.")] = None,
    seed: Annotated[int, typer.Option(callback=_at_least(0), help="Seed of proposals and initial weights.")] = 0,
    workers: Annotated[int, typer.Option(callback=_at_least(1), help="Processes that run trials at once.")] = 1,
    storage: Storage = _STORAGE,
    study: Annotated[str | None, typer.Option(help="Name of the study; TASK-SAMPLER by default.")] = None,
    transfer_from: Annotated[
        list[str] | None,
        typer.Option(help="Study of the same storage to learn from, a pattern such as 'mnist-*', or all; repeatable."),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Folder for the best model; STUDY.model by default.")] = None,
    as_json: Json = False,
) -> None:
    """Search the best network for a task, and save it."""
    from studies.commands.search import Search
    from studies.commands.search import run as run_search

    search = Search(
        task=task,
        target=target,
        kind=kind,
        ignore=tuple(ignore or ()),
        max_levels=max_levels,
        metric=metric,
        test_fraction=test_fraction,
        space=space,
        max_layers=max_layers,
        max_units=max_units,
        image_shape=image_shape,
        sampler=sampler,
        epochs=epochs,
        seed=seed,
        storage=storage,
        study=study,
        transfer_from=tuple(transfer_from or ()),
    )
    run_search(search, trials=trials, timeout=timeout, workers=workers, model=model, as_json=as_json)


@app.command()
def worker(
    storage: Storage = _STORAGE,
    study: Annotated[str | None, typer.Option(help="Name of the study; all that have trials left by default.")] = None,
    trials: Annotated[
        int | None, typer.Option(callback=_at_least(1), help="Trials to run here; what is left by default.")
    ] = None,
    timeout: Timeout = None,
) -> None:
    """Join studies that run elsewhere and run trials for them."""
    from studies.commands.joining import work

    work(storage, study=study, trials=trials, timeout=timeout)


@app.command("studies")
def list_studies(storage: Storage = _STORAGE, as_json: Json = False) -> None:
    """List the studies of a storage."""
    from studies.commands import listings

    listings.list_studies(storage, as_json=as_json)


@app.command()
def show(
    name: Name,
    storage: Storage = _STORAGE,
    trials: Annotated[int, typer.Option(callback=_at_least(1), help="How many of the best trials to show.")] = 10,
    latent_map: Annotated[Path | None, typer.Option(help="SVG file to write: the study in NAO's latent space.")] = None,
    as_json: Json = False,
) -> None:
    """Show a study: its best trials and the best network."""
    from studies.commands import listings

    if latent_map is not None:
        from studies.commands import exports

        exports.draw_latent_map(name, storage, latent_map)
    listings.show(name, storage, n_trials=trials, as_json=as_json)


@app.command()
def best(name: Name, storage: Storage = _STORAGE, as_json: Json = False) -> None:
    """Show the best trial of a study."""
    from studies.commands import listings

    listings.best(name, storage, as_json=as_json)


@app.command()
def export(
    name: Name,
    to: Annotated[Path, typer.Option("--to", help="Folder to write.")],
    storage: Storage = _STORAGE,
) -> None:
    """Save the best model of a study."""
    from studies.commands import exports

    exports.export(name, storage, to)


@app.command()
def report(
    name: Name,
    to: Annotated[Path | None, typer.Option("--to", help="HTML file to write; STUDY.html by default.")] = None,
    storage: Storage = _STORAGE,
) -> None:
    """Write a study as one HTML page."""
    from studies.commands import exports

    exports.report(name, storage, to)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model.")],
    data: Annotated[Path, typer.Argument(help="CSV or Parquet file; - for CSV from standard input.")],
    output: Annotated[Path | None, typer.Option(help="CSV file to write; standard output by default.")] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Probabilities of the classes instead of labels.")] = False,
) -> None:
    """Predict the rows of a file with a saved model."""
    from studies.commands import prediction

    prediction.predict(model, data, output=output, proba=proba)


@app.command()
def dashboard(
    storage: Storage = _STORAGE,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8080,
    token: Annotated[
        str | None,
        typer.Option(envvar="AUTOML_TOKEN", show_envvar=True, help="What visitors must enter; best given as variable."),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse every change.")] = False,
) -> None:
    """Serve the dashboard with a picture of every network."""
    from studies.console import without_passwords
    from studies.dashboard.server import serve

    def announce(url: str) -> None:
        lock = " (asks for the token)" if token else ""
        print(f"dashboard of {without_passwords(storage)} at {url}{lock}; stop it with Ctrl-C", flush=True)

    try:
        serve(storage, host=host, port=port, token=token, read_only=read_only, announce=announce)
    except KeyboardInterrupt:
        print("dashboard stopped", file=sys.stderr)


app.command()(benchmark)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits with its status; the entry point of `automl`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--version" in given:
        from importlib.metadata import version

        print(f"automl-studies {version('automl-studies')}")
        sys.exit(0)
    debug = "--debug" in given or bool(os.environ.get("AUTOML_DEBUG"))
    sys.exit(_status([argument for argument in given if argument != "--debug"] or ["--help"], debug))


def _status(arguments: Sequence[str], debug: bool) -> int:
    """Runs the command; returns the exit status and says on standard error what went wrong."""
    _make_streams_forgiving()
    if not debug:
        warnings.simplefilter("ignore")  # what libraries remark on their own ways is nothing the user can mend
        warnings.filterwarnings("default", "the Gaussian process of", RuntimeWarning)  # a looser fit is never silent
        warnings.formatwarning = _one_line
    try:
        with _sigterm_as_ctrl_c():
            command = typer.main.get_command(app)
            status: int | None = command.main(list(arguments), prog_name="automl", standalone_mode=False)
        return status or 0
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of standard output is gone ("automl studies | head"); Python would complain once more on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAULT
    except Exception as error:
        if debug:
            raise
        return _explain(error)


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning as the command line's other remarks are printed, without the line of the program it comes from."""
    return f"automl: {' '.join(str(message).split())}\n"


def _explain(error: Exception) -> int:
    from studies.console import without_passwords

    error = _of_storage(error)
    if isinstance(error, InputError):
        status, text = _BAD_INPUT, str(error)
    elif hasattr(error, "format_message"):  # what typer found wrong with the arguments; it has no public base class
        status, text = _BAD_INPUT, f"{error.format_message().rstrip('.')}; see 'automl --help'."
    else:
        status, text = _FAULT, f"{type(error).__name__}: {error} (a fault of the program: --debug shows where)"
    print(f"automl: {without_passwords(' '.join(text.split()))}", file=sys.stderr)
    return status


def _of_storage(error: Exception) -> Exception:
    """The error, or what `studies.storage` makes of it where a database failed."""
    if "optuna" not in sys.modules:
        return error
    from optuna.exceptions import StorageInternalError

    from studies.storage import storage_failed

    return storage_failed(error) if isinstance(error, StorageInternalError) else error


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Schedulers stop a job by SIGTERM: it too puts the running trial back into the queue."""
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _make_streams_forgiving() -> None:
    """Characters that a terminal's encoding lacks are replaced, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    main()
