"""Studies in a PostgreSQL database, on a server of the tests' own: what several machines share."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from automl.errors import InputError
from automl.spaces.mlp import MLPSpace
from automl.task import load_task
from automl.trainer import TrainerSettings
from studies.attributes import BUDGET, RETRY_HISTORY, retried_numbers
from studies.storage import open_storage
from studies.study import Study, create_study, load_study

pytestmark = pytest.mark.slow

_SECONDS = 120  # after which a program that should have ended is an error


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL server."""

    port: int
    password: str

    def url(self, password: str | None = None) -> str:
        """The URL of its database, with the right password by default."""
        return f"postgresql+psycopg://automl:{password or self.password}@127.0.0.1:{self.port}/postgres"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server on a free port of this machine, its data in a folder of its own; skipped where none is installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb is not installed, so nothing is known of studies on it: see CONTRIBUTING.md")
    folder, password = Path(tempfile.mkdtemp(prefix="automl-postgresql-")), secrets.token_urlsafe(16)
    (folder / "password").write_text(password)
    owner = _owner()
    for path in (folder, folder / "password"):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    control = [str(programs / "pg_ctl"), "-D", str(folder / "data"), "-w", "-t", str(_SECONDS)]
    try:
        _run_as(owner, folder, [str(programs / "initdb"), *_INITDB, "--pwfile", "password", "-D", str(folder / "data")])
        port = _free_port()
        # The data are thrown away, so nothing need be forced to the disk; no socket but the one of this address.
        options = f"-h 127.0.0.1 -p {port} -F -c unix_socket_directories=''"
        _run_as(owner, folder, [*control, "-l", str(folder / "log"), "-o", options, "start"])
        try:
            yield Server(port, password)
        finally:
            _run_as(owner, folder, [*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder)


_INITDB = ("--username", "automl", "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync")


def _programs() -> Path | None:
    """The folder of PostgreSQL's programs, the newest where there are several; Debian keeps them off the path."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))], default=None)


def _owner() -> pwd.struct_passwd:
    """Whom the server runs as: PostgreSQL refuses to run as root."""
    if os.getuid():
        return pwd.getpwuid(os.getuid())
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _run_as(owner: pwd.struct_passwd, folder: Path, command: list[str]) -> None:
    """Runs a program as a user, its output in a file: a server that it starts would keep a pipe open."""
    other = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    with (folder / "output").open("w") as output:
        done = subprocess.run(  # type: ignore[call-overload]  # mypy cannot see which arguments the mapping holds
            command, cwd=folder, stdout=output, stderr=output, timeout=2 * _SECONDS, **other
        )
    assert done.returncode == 0, (folder / "output").read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def study(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    """A study without trials, models in the test's own folder; removed at the end."""
    monkeypatch.chdir(tmp_path)
    yield create_study(
        "iris",
        task=load_task("iris"),
        space=MLPSpace(max_layers=2),
        sampler="evolution",
        storage=server.url(),
        settings=TrainerSettings(max_epochs=2),
    )
    optuna.delete_study(study_name="iris", storage=open_storage(server.url()))


def test_two_workers_that_are_interrupted_go_on_where_they_were(study: Study, server: Server) -> None:
    heard: list[int] = []

    def interrupt(_: optuna.Study, trial: FrozenTrial) -> None:
        heard.append(trial.number)
        if len(heard) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.optimize(n_trials=50, n_workers=2, callbacks=[interrupt])
    before = study.trials
    assert TrialState.RUNNING not in [trial.state for trial in before]
    interrupted = {trial.number for trial in before if trial.state == TrialState.FAIL}
    assert interrupted == retried_numbers(before)

    again, done = load_study("iris", server.url()), study.n_finished
    again.optimize(n_trials=len(interrupted) + 2)
    assert again.n_finished == done + len(interrupted) + 2
    for trial in again.trials:
        assert trial.state.is_finished()
        for number in trial.system_attrs.get(RETRY_HISTORY, ()):
            assert before[number].params.items() <= trial.params.items()
    assert again.best_model().evaluation.value == again.best_value


def test_workers_that_join_by_the_url_alone_run_as_many_trials_as_were_asked_for(study: Study, server: Server) -> None:
    study.optuna.set_user_attr(BUDGET, {"n_trials": 5})
    command = [sys.executable, "-m", "studies.cli", "worker"]
    environment = {**os.environ, "AUTOML_STORAGE": server.url(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    workers = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [worker.communicate(timeout=_SECONDS) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert study.n_finished == 5
    assert not any(server.password in text for texts in said for text in texts)


def test_a_wrong_password_is_refused_and_not_shown(server: Server) -> None:
    with pytest.raises(InputError, match="cannot be opened") as refusal:
        open_storage(server.url("sesame"))
    assert "sesame" not in str(refusal.value) and "password authentication failed" in str(refusal.value)
