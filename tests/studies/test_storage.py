"""Opening storages that several workers share."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import repeat
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from automl.errors import InputError
from studies import storage
from studies.attributes import DEPTH, PROPOSAL, RETRY_HISTORY
from studies.storage import (
    beside,
    check_exists,
    check_lasting,
    database,
    default_path,
    file_name,
    holds_studies,
    open_storage,
    requeue,
    sqlite_path,
    storage_url,
)


def test_a_waiting_trial_is_handed_to_one_worker_alone(tmp_path: Path) -> None:
    # Each thread has a storage, and so connections, of its own, as a worker process has. With Optuna's own RDBStorage
    # about a tenth of the trials are handed out twice.
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    study = optuna.create_study(study_name="queue", storage=open_storage(url))
    for _ in range(20):
        study.enqueue_trial({})
    ids = [trial._trial_id for trial in study.trials]
    taken: list[int] = []
    barrier = threading.Barrier(3)

    def work() -> None:
        storage = open_storage(url)
        barrier.wait()
        taken.extend(i for i in ids if storage.set_trial_state_values(i, TrialState.RUNNING))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(taken) == ids


def test_readers_and_a_writer_can_work_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    optuna.create_study(study_name="any", storage=open_storage(f"sqlite:///{path}"))
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_queued_trial_keeps_its_proposal_and_parameters_and_knows_what_it_takes_the_place_of() -> None:
    study = optuna.create_study()
    study.ask()
    original = optuna.create_trial(
        state=TrialState.FAIL,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        user_attrs={DEPTH: 3, "mine": "kept"},
        system_attrs={PROPOSAL: {"params": {"x": 0.5, "y": 1}}},
    )
    study.add_trial(original)
    requeue(study, study.trials[1])
    requeue(study, study.trials[2])
    queued = study.trials[3]
    assert (queued.state, queued.params, queued.user_attrs) == (TrialState.WAITING, {"x": 0.5}, {"mine": "kept"})
    assert queued.system_attrs[PROPOSAL] == original.system_attrs[PROPOSAL]
    assert queued.system_attrs[RETRY_HISTORY] == [1, 2]


def test_a_storage_tells_its_url_unless_it_is_in_memory(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    assert storage_url(open_storage(url)) == url
    assert beside(open_storage(url), ".models") == tmp_path / "studies.models"
    assert storage_url(optuna.storages.InMemoryStorage()) is None
    assert beside(open_storage("sqlite:///:memory:"), ".models") is None


def test_storages_of_one_database_are_told_from_those_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    absolute = open_storage(f"sqlite:///{tmp_path / 'studies.db'}")
    assert database(absolute) == database(open_storage("sqlite:///studies.db"))
    assert database(absolute) != database(open_storage("sqlite:///others.db"))
    memory = optuna.storages.InMemoryStorage()
    assert database(memory) == database(memory) != database(optuna.storages.InMemoryStorage())


def test_a_new_database_may_be_opened_by_several_at_the_same_moment(tmp_path: Path) -> None:
    for attempt in range(4):
        url, together = f"sqlite:///{tmp_path}/{attempt}.db", threading.Barrier(6)

        def opened(number: int, url: str = url, together: threading.Barrier = together) -> None:
            together.wait()
            optuna.create_study(study_name=str(number), storage=open_storage(url))

        with ThreadPoolExecutor(6) as threads:
            list(threads.map(opened, range(6)))
        assert sorted(optuna.study.get_all_study_names(open_storage(url))) == [str(number) for number in range(6)]


def test_a_file_is_told_to_hold_studies_unless_it_certainly_holds_none(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    sqlite3.connect(path).close()
    assert not holds_studies(path)
    opened = open_storage(f"sqlite:///{path}")
    assert not holds_studies(path)
    optuna.create_study(storage=opened)
    assert holds_studies(path)
    (tmp_path / "other.db").write_text("no database at all, but somebody's")
    assert holds_studies(tmp_path / "other.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_all_threads_see_the_same_database_in_memory(url: str) -> None:
    study = optuna.create_study(storage=open_storage(url))
    names: list[list[str]] = []
    thread = threading.Thread(target=lambda: names.append(optuna.study.get_all_study_names(study._storage)))
    thread.start()
    thread.join()
    assert names == [[study.study_name]]
    with pytest.raises(InputError, match=r"in memory that ends with the command; .* name a file"):
        check_lasting(url)


def test_only_a_file_of_sqlite_has_a_path() -> None:
    assert sqlite_path("sqlite:///a/b.db") == Path("a/b.db")
    assert sqlite_path("sqlite:///:memory:") is None
    assert sqlite_path("postgresql+psycopg://user@host/database") is None


def test_study_names_make_distinct_harmless_file_names() -> None:
    names = ["digits", "a/b", "a%2Fb", "..", "%2E.", "digits 2"]
    files = [file_name(name) for name in names]
    assert files[0] == "digits"
    assert len(set(files)) == len(names)
    assert not any("/" in file or file.startswith(".") for file in files)


@pytest.mark.parametrize("name", ["digits", "größe 2", "a/b", "../x", "/etc/x", "..", ".", "line\nbreak"])
def test_what_is_made_of_a_study_lies_in_the_working_folder_by_default(name: str) -> None:
    path = default_path(name, ".model")
    assert path.parent == Path(".") and path.name.isprintable()
    assert (path.name == f"{name}.model") == (name in ("digits", "größe 2"))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("no url", "got the storage URL 'no url', expected one such as"),
        ("sqlite:////nowhere/at/all.db", "which cannot be opened .*unable to open database file"),
        ("nosuchdatabase://host/name", "nosuchdatabase"),
    ],
)
def test_a_url_that_cannot_be_opened_is_refused_in_one_sentence(url: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        open_storage(url)


@pytest.mark.parametrize("password", ["secret", "se:cret", "se/cret", "se@cret"])
def test_the_password_of_a_url_that_cannot_be_read_is_not_shown(password: str) -> None:
    with pytest.raises(InputError, match="got the storage URL") as refusal:
        open_storage(f"postgresql://ann:{password}@host:no-port/database")
    assert "'postgresql://ann:***@host:no-port/database'" in str(refusal.value)


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes, and nothing that a database would hold, in more than a hundred bytes" * 2)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"cannot be opened .file is not a database"):
        open_storage(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_missing_file_is_told_before_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"whose file .* does not exist"):
        check_exists(f"sqlite:///{tmp_path / 'missing.db'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("letter", ["x", "研", "/"])
def test_names_of_any_length_make_distinct_files(tmp_path: Path, letter: str) -> None:
    names = [letter * 500, letter * 499 + "y"]
    for path in (*map(file_name, names), *(str(default_path(name, ".model")) for name in names)):
        (tmp_path / path).mkdir()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_server_that_is_away_for_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[sqlite3.OperationalError | str] = iter(
        [sqlite3.OperationalError("refused"), sqlite3.OperationalError("starting up"), "a connection"]
    )
    assert _connected(answers, monkeypatch) == "a connection"


def test_a_server_that_stays_away_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[sqlite3.OperationalError | str] = repeat(sqlite3.OperationalError("refused"))
    with pytest.raises(sqlite3.OperationalError, match="refused"):
        _connected(answers, monkeypatch)


def test_a_sign_of_life_that_cannot_be_written_is_not_the_last_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_storage(f"sqlite:///{tmp_path / 'automl.db'}")
    backend = storage.relational(opened)
    assert backend is not None
    trial_id = backend.create_new_trial(backend.create_new_study([StudyDirection.MINIMIZE]))

    def signs_of_life() -> int:
        return len(_rows(tmp_path / "automl.db", "SELECT * FROM trial_heartbeats"))

    _rows(tmp_path / "automl.db", "ALTER TABLE trial_heartbeats RENAME TO gone")
    backend.record_heartbeat(trial_id)
    assert "sign of life could not be written (no such table: trial_heartbeats)" in caplog.text
    _rows(tmp_path / "automl.db", "ALTER TABLE gone RENAME TO trial_heartbeats")
    assert signs_of_life() == 0
    backend.record_heartbeat(trial_id)
    assert signs_of_life() == 1


def _rows(path: Path, statement: str) -> list[Any]:
    """What a statement on an SQLite file gives."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement).fetchall()


def _connected(answers: Iterator[sqlite3.OperationalError | str], monkeypatch: pytest.MonkeyPatch) -> object:
    """What the waiting connection makes of a server's answers, on a clock that sleeping alone moves."""
    clock = [0.0]

    class Driver(SQLiteDialect_pysqlite):
        def connect(self, *arguments: object, **options: object) -> Any:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    return storage._connect_patiently(Driver(dbapi=sqlite3), None, (), {})
