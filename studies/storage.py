"""Opening the database in which studies live, so that several processes and the dashboard can share it safely.

Optuna's own `RDBStorage` hands a waiting trial to two workers when they ask at the same moment on SQLite, which has no
SELECT ... FOR UPDATE. Here every change of a trial's state on SQLite is one exclusive transaction. Write-ahead logging
lets readers (the dashboard) and a writer work at the same time and makes a transaction three times as fast.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL, Dialect, make_url

from automl.errors import InputError
from studies.attributes import PREFIX, RETRY_HISTORY
from studies.console import without_passwords
from studies.quiet_optuna import experimental_features

_logger = logging.getLogger("automl.studies")

DEFAULT_STORAGE = "sqlite:///automl.db"
# The environment variable that holds a storage's URL: the list of processes, which all users can read, lacks it.
STORAGE_VARIABLE = "AUTOML_STORAGE"
# A worker that has not given a sign of life for the grace period is taken for dead, and its trial is run once more.
HEARTBEAT_SECONDS = 10
GRACE_SECONDS = 60
MAX_RETRIES = 2
# A server that is restarted may be away for so long before a trial fails; less than the grace period of heartbeats.
_OUTAGE_SECONDS = 30.0
# File systems take names of 255 bytes; endings and temporary names need some of them.
_LONGEST_NAME = 200
# Making the tables takes several transactions, at any of which another process may be the first.
_MAKINGS = 20
_MAKING_SECONDS = 0.1
# How long one transaction waits for another's lock on an SQLite file (Python's own default is 5 s).
_LOCK_TIMEOUT_SECONDS = 60.0


class SteadyStorage(RDBStorage):
    """A database where a sign of life that cannot be written is not a trial's last one.

    Optuna's thread of heartbeats ends with the first that fails, and a training that goes on would then be taken for
    dead; a server that is away for longer than a connection is tried again may be back at the next heartbeat.
    """

    def record_heartbeat(self, trial_id: int) -> None:
        """Writes a sign of life of a running trial if it can be written; see `optuna.storages.BaseHeartbeat`."""
        try:
            super().record_heartbeat(trial_id)
        except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            _logger.warning("a trial's sign of life could not be written (%s); the next one is tried", _reason(error))


class SharedSQLiteStorage(SteadyStorage):
    """An SQLite file that several processes of one machine may work on at once.

    Args:
        url: An SQLAlchemy URL, "sqlite:///path".
        heartbeat_interval: Seconds between two signs of life of a running trial.
        grace_period: Seconds without one after which a trial is run once more.
    """

    def __init__(self, url: str, *, heartbeat_interval: int, grace_period: int) -> None:
        self._exclusive = threading.local()
        super().__init__(
            url,
            engine_kwargs={"connect_args": {"timeout": _LOCK_TIMEOUT_SECONDS}},
            heartbeat_interval=heartbeat_interval,
            grace_period=grace_period,
            heartbeat_stale_trial_callback=_requeue_stale,
        )
        sqlalchemy.event.listen(self.engine, "connect", _use_write_ahead_log)
        sqlalchemy.event.listen(self.engine, "begin", self._begin)
        self.engine.dispose()  # Connections opened while the tables were made know nothing of the listeners.

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Changes a trial's state in one exclusive transaction; see `optuna.storages.BaseStorage`."""
        self._exclusive.wanted = True
        try:
            return super().set_trial_state_values(trial_id, state, values)
        finally:
            self._exclusive.wanted = False

    def _begin(self, connection: sqlalchemy.Connection) -> None:
        if getattr(self._exclusive, "wanted", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def open_storage(
    url: str, *, heartbeat_interval: int = HEARTBEAT_SECONDS, grace_period: int = GRACE_SECONDS
) -> BaseStorage:
    """Opens a database of studies; an SQLite file that does not exist is created, with nothing in it.

    Where the URL names an SQLite database in memory, Optuna's own storage in memory is opened instead: in SQLite's,
    every thread would see a database of its own.

    Args:
        url: An SQLAlchemy URL: "sqlite:///automl.db", "postgresql+psycopg://user@host/database", ...
        heartbeat_interval: Seconds between two signs of life of a running trial.
        grace_period: Seconds without one after which a trial counts as abandoned and is run once more.

    Raises:
        InputError: If the URL cannot be read, or the database cannot be opened.
    """
    parsed = _parse(url)
    if _is_in_memory(parsed):
        return optuna.storages.InMemoryStorage()
    try:
        with experimental_features():
            opened = _with_tables(lambda: _relational(parsed, url, heartbeat_interval, grace_period))
            return optuna.storages.get_storage(opened)
    except ImportError as error:
        raise InputError(
            f"got the storage URL {_shown(parsed)!r}, whose database driver is not installed; "
            "install it (PostgreSQL: pip install 'automl-studies[distributed]') or use sqlite:///FILE.db."
        ) from error
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError) as error:
        raise InputError(
            f"got the storage URL {_shown(parsed)!r}, which cannot be opened ({_first_line(error)}); "
            "expected a database that this user may read and write: check the path, the server and the rights."
        ) from error


def _relational(parsed: URL, url: str, heartbeat_interval: int, grace_period: int) -> RDBStorage:
    if _is_sqlite_file(parsed):
        return SharedSQLiteStorage(url, heartbeat_interval=heartbeat_interval, grace_period=grace_period)
    served = SteadyStorage(
        url,
        engine_kwargs={"pool_pre_ping": True},  # a connection that a restarted server has forgotten is replaced
        heartbeat_interval=heartbeat_interval,
        grace_period=grace_period,
        heartbeat_stale_trial_callback=_requeue_stale,
    )
    sqlalchemy.event.listen(served.engine, "do_connect", _connect_patiently)  # since it has answered once
    return served


def _with_tables(make: Callable[[], RDBStorage]) -> RDBStorage:
    """Makes a storage, again where other processes make the tables of the new database at the same moment.

    Optuna looks whether there is a table and then makes it; whoever comes second is refused by the database.
    """
    for _ in range(_MAKINGS - 1):
        try:
            return make()
        except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError) as error:
            refused = error.__cause__ if isinstance(error, optuna.exceptions.OptunaError) else error
            if not isinstance(refused, sqlalchemy.exc.IntegrityError) and "already exists" not in str(refused):
                raise
        time.sleep(_MAKING_SECONDS)
    return make()


def holds_studies(path: Path) -> bool:
    """Whether an SQLite file has studies in it, or may have some: it cannot be read at the moment."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            has_table = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'studies'").fetchone()
            return bool(has_table and connection.execute("SELECT 1 FROM studies LIMIT 1").fetchone())
    except sqlite3.Error:
        return True


def check_lasting(url: str) -> None:
    """Refuses a database in memory, which would end with the command that makes it.

    Raises:
        InputError: If the URL cannot be read or names none but this process's memory.
    """
    if _is_in_memory(_parse(url)):
        raise InputError(
            f"got the storage URL {url!r}, a database in memory that ends with the command; expected one that stays: "
            f"name a file, such as {DEFAULT_STORAGE}."
        )


def check_exists(url: str) -> None:
    """Refuses an SQLite file that does not exist, before opening would make it.

    Raises:
        InputError: If the URL cannot be read or names a missing file.
    """
    path = sqlite_path(url)
    if path is not None and not path.is_file():
        raise InputError(
            f"got the storage URL {url!r}, whose file {str(path)!r} does not exist; "
            "check the path, or start a study there with 'automl run'."
        )


def sqlite_path(url: str) -> Path | None:
    """The file behind an SQLite URL; None for other databases and for one in memory."""
    parsed = _parse(url)
    return Path(parsed.database or "") if _is_sqlite_file(parsed) else None


def storage_url(storage: BaseStorage) -> str | None:
    """The URL by which another process can open the same storage; None where there is none (in memory, ...)."""
    backend = relational(storage)
    return None if backend is None or _is_in_memory(make_url(backend.url)) else str(backend.url)


def database(storage: BaseStorage) -> Hashable:
    """What all storage objects of one database have in common, however often it has been opened.

    An SQLite file's path, or a server's address and the database's name there; of what has neither, the object itself.
    """
    url = storage_url(storage)
    if url is None:
        return id(storage)
    path, parsed = sqlite_path(url), make_url(url)
    return path.resolve() if path else (parsed.get_backend_name(), parsed.host, parsed.port, parsed.database)


def relational(storage: BaseStorage) -> RDBStorage | None:
    """The relational storage beneath Optuna's cache; None for one of another kind."""
    backend = getattr(storage, "_backend", storage)
    return backend if isinstance(backend, RDBStorage) else None


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise InputError(
            f"got the storage URL {without_passwords(url)!r}, expected one such as 'sqlite:///automl.db' or "
            "'postgresql+psycopg://user@host/database'; write it in that form."
        ) from error


def _is_sqlite_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and not _is_in_memory(url)


def _is_in_memory(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error.__cause__ or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0]


def beside(storage: BaseStorage, suffix: str) -> Path | None:
    """A folder named after the storage's file; "automl" in the working folder for a server's; None for memory."""
    url = storage_url(storage)
    return None if url is None else (sqlite_path(url) or Path("automl.db")).absolute().with_suffix(suffix)


def file_name(study_name: str) -> str:
    """A file name made of the study's name, so that different studies have different ones."""
    quoted = quote(study_name, safe=" ")
    if len(quoted) > _LONGEST_NAME:
        quoted = f"{quoted[: _LONGEST_NAME - 17]}-{hashlib.sha256(study_name.encode()).hexdigest()[:16]}"
    return quoted.replace(".", "%2E", 1) if quoted.startswith(".") else quoted


def default_path(study_name: str, suffix: str) -> Path:
    """The default path of a file or folder made from a study: in the working folder, whatever characters its name has.

    Examples:
        >>> default_path("größe", ".model").name, default_path("../größe", ".html").name
        ('größe.model', '%2E.%2Fgr%C3%B6%C3%9Fe.html')
    """
    is_plain = Path(study_name).name == study_name and study_name.isprintable() and not study_name.startswith(".")
    is_plain = is_plain and len(study_name.encode()) <= _LONGEST_NAME
    return Path((study_name if is_plain else file_name(study_name)) + suffix)


def storage_failed(error: BaseException) -> InputError:
    """One sentence for whatever Optuna raises where a database failed, with the database's own reason."""
    return InputError(
        f"the study's storage failed ({_reason(error)}), expected one that answers and can be written; "
        "mend it and go on: finished trials are kept."
    )


def _reason(error: BaseException) -> str:
    """What the database itself said, without passwords.

    That is the deepest cause, but what SQLAlchemy has wrapped may have come of a signal within its pool of connections.
    """
    reason = error
    while reason.__context__ is not None and not isinstance(reason, sqlalchemy.exc.DBAPIError):
        reason = reason.__context__
    reason = getattr(reason, "orig", None) or reason
    return without_passwords((str(reason).splitlines() or [type(reason).__name__])[0])


@contextmanager
def storage_failures_told() -> Iterator[None]:
    """Raises what a failing database makes Optuna raise as `storage_failed` says it.

    Raises:
        InputError: If the storage fails: its disk is full, its server gone.
    """
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        raise storage_failed(error) from error


def requeue(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queues an unfinished trial once more, with its proposal and the parameters that it has asked for.

    Writes the attributes that Optuna's `RetryHeartbeatStaleTrialCallback` writes, but leaves out what the trial had
    written for people to read.
    """
    history = [*trial.system_attrs.get(RETRY_HISTORY, ()), trial.number]
    kept = {key: value for key, value in trial.user_attrs.items() if not key.startswith(PREFIX)}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=kept,
            system_attrs={"failed_trial": history[0], **trial.system_attrs, RETRY_HISTORY: history},
        )
    )


def _requeue_stale(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queues the trial of a worker that died, unless its candidate seems to be what kills the workers."""
    if len(trial.system_attrs.get(RETRY_HISTORY, ())) < MAX_RETRIES:
        requeue(study, trial)


def _use_write_ahead_log(connection: sqlite3.Connection, _: Any) -> None:
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.OperationalError:  # A file system without shared memory, or a file that may only be read.
        _logger.debug("write-ahead logging is not available for this SQLite file", exc_info=True)


def _connect_patiently(dialect: Dialect, _: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Connects to a server that has been there; while it is away, as in a restart, tries again for some time."""
    until = time.monotonic() + _OUTAGE_SECONDS
    is_told = False
    while True:
        try:
            return dialect.connect(*arguments, **options)
        except dialect.loaded_dbapi.OperationalError:
            if time.monotonic() > until:
                raise
        if not is_told:
            _logger.warning("the storage's server does not answer; it is tried again for up to %g s", _OUTAGE_SECONDS)
        is_told = True
        time.sleep(1.0)
