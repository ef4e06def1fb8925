"""The dashboard: optuna-dashboard over a study's storage, with a picture of every trial's architecture.

Pictures and notes are made when they are asked for, from the attributes that each trial carries anyway. So they cost
a trial nothing, work for any number of workers on any machine, and leave the storage as plain `optuna-dashboard`
knows it: there the same facts stand among the user attributes. A note that somebody wrote takes the place of ours.
"""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from socketserver import ThreadingMixIn
from typing import Any, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from automl.errors import InputError
from automl.pictures.curve_drawing import curve_svg
from automl.pictures.drawing import architecture_svg
from automl.pictures.side_by_side import side_by_side
from kernels.architecture import Architecture
from studies.attributes import DEFINITION, TrialFacts, read_definition
from studies.dashboard.guard import MIN_TOKEN_LENGTH, answer, guarded, is_loopback, known_hosts
from studies.dashboard.notes import study_note, trial_note
from studies.storage import check_exists, open_storage

_STUDY_DETAIL = re.compile(r"/api/studies/(\d+)/?")
# At most 18 digits: databases stumble over larger numbers, which are no keys of theirs.
_PICTURE = re.compile(r"/automl/studies/(\d{1,18})/trials/(\d{1,18})/(trial|architecture|curve)\.svg")
_SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

Answer = tuple[str, list[tuple[str, str]], bytes]


def serve(
    storage_url: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token: str | None = None,
    read_only: bool = False,
    announce: Callable[[str], None] = print,
) -> None:
    """Serves the dashboard until the process is interrupted.

    Args:
        storage_url: The storage of the studies to show; it must exist.
        host: Address or name to listen on; only this machine can reach the default.
        port: Port to listen on; 0 takes a free one.
        token: What visitors must show once; None for no token.
        read_only: Whether to refuse every change.
        announce: Is told the dashboard's URL once it answers.

    Raises:
        InputError: If the storage cannot be opened, the port is taken, or others could change studies without a token.
    """
    if not (is_loopback(host) or token or read_only):
        raise InputError(
            f"got the host {host!r} without a token, so everybody who reaches it could delete studies; "
            "add --token, or --read-only, or listen on 127.0.0.1."
        )
    check_exists(storage_url)
    app = dashboard_app(open_storage(storage_url), host=host, token=token, read_only=read_only)
    with make_server(app, host, port) as server:
        name = f"[{host}]" if ":" in host else host
        announce(f"http://{name}:{server.server_port}/")
        server.serve_forever(poll_interval=0.1)


def dashboard_app(
    storage: BaseStorage, *, host: str = "127.0.0.1", token: str | None = None, read_only: bool = False
) -> WSGIApplication:
    """The dashboard with its pictures and notes as one WSGI application, behind `studies.dashboard.guard`.

    Args:
        storage: The opened storage.
        host: The name by which visitors call the server, beside localhost and addresses.
        token: What visitors must show once; None for no token.
        read_only: Whether to refuse every change.

    Raises:
        InputError: If optuna-dashboard is not installed, or the token is too short.
    """
    try:
        import optuna_dashboard  # type: ignore[import-untyped]  # it ships no types
    except ImportError as error:
        raise InputError(
            "got no optuna-dashboard, which the dashboard needs; install it: pip install 'automl-studies[dashboard]'."
        ) from error
    inner: WSGIApplication = optuna_dashboard.wsgi(storage)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        environ.setdefault("HTTP_ACCEPT_ENCODING", "")  # optuna-dashboard fails on requests without it
        if method in ("GET", "HEAD") and (picture := _PICTURE.fullmatch(path)):
            study_id, trial_id, kind = picture.groups()
            return _serve_picture(storage, int(study_id), int(trial_id), kind, start_response)
        if method == "GET" and (study := _STUDY_DETAIL.fullmatch(path)):
            return _serve_detail(inner, storage, int(study[1]), environ, start_response)
        return inner(environ, start_response)

    shortest = 1 if is_loopback(host) else MIN_TOKEN_LENGTH
    return guarded(application, hosts=known_hosts(host), token=token, read_only=read_only, shortest_token=shortest)


# --- Pictures -------------------------------------------------------------------------------------------------------


def _serve_picture(
    storage: BaseStorage, study_id: int, trial_id: int, kind: str, start_response: StartResponse
) -> Iterable[bytes]:
    try:
        trial = storage.get_trial(trial_id)
        metric = _metric(storage, study_id)
    except KeyError:
        return answer(start_response, "404 Not Found", "text/plain; charset=utf-8", b"There is no such trial.")
    picture = _picture(trial, kind, metric)
    if picture is None:
        return answer(start_response, "404 Not Found", "text/plain; charset=utf-8", b"This trial has no such picture.")
    caching = "private, max-age=3600" if trial.state.is_finished() else "no-store"
    svg = "image/svg+xml; charset=utf-8"
    return answer(start_response, "200 OK", svg, picture.encode(), policy=_SVG_POLICY, caching=caching)


def _picture(trial: FrozenTrial, kind: str, metric: str) -> str | None:
    """The picture that the trial's attributes allow; kind "trial" shows all there are, side by side."""
    facts = TrialFacts.from_user_attrs(trial.user_attrs)
    pictures = []
    if kind != "curve" and facts.architecture is not None:
        pictures.append(_drawn(json.dumps(facts.architecture), f"Trial {trial.number}"))
    if kind != "architecture" and facts.curve:
        pictures.append(curve_svg(facts.curve, metric=metric, best_epoch=facts.best_epoch))
    return side_by_side(*pictures) if len(pictures) > 1 else next(iter(pictures), None)


@lru_cache(maxsize=256)
def _drawn(architecture: str, title: str) -> str:
    return architecture_svg(Architecture.from_json(architecture), title=title)


def _metric(storage: BaseStorage, study_id: int) -> str:
    attributes = storage.get_study_user_attrs(study_id)
    return read_definition("", attributes).metric if DEFINITION in attributes else "metric"


def picture_url(study_id: int, trial_id: int, kind: str) -> str:
    """Where the picture of a trial is served: its "architecture", its learning "curve", or both ("trial")."""
    return f"/automl/studies/{study_id}/trials/{trial_id}/{kind}.svg"


# --- Notes ----------------------------------------------------------------------------------------------------------


def _serve_detail(
    inner: WSGIApplication,
    storage: BaseStorage,
    study_id: int,
    environ: WSGIEnvironment,
    start_response: StartResponse,
) -> Iterable[bytes]:
    """What optuna-dashboard says of a study, with our notes wherever nobody wrote one."""
    status, headers, body = _call(inner, environ)
    if status.startswith("200"):
        detail = json.loads(body)
        _add_notes(detail, storage, study_id)
        body = json.dumps(detail).encode()
        headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
        headers.append(("Content-Length", str(len(body))))
    start_response(status, headers)
    return [body]


def _call(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """Runs one request through an application and collects its whole answer."""
    head: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        head[:] = [(status, headers)]
        return _no_write

    parts = app(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    return *head[0], body


def _no_write(_: bytes) -> None:
    raise NotImplementedError("optuna-dashboard returns its answers and never writes them")


def _add_notes(detail: dict[str, Any], storage: BaseStorage, study_id: int) -> None:
    trials = {trial._trial_id: trial for trial in storage.get_all_trials(study_id, deepcopy=False)}
    for shown in [*detail["trials"], *detail["best_trials"]]:
        trial = trials.get(shown["trial_id"])
        if trial is not None and not shown["note"]["body"]:
            shown["note"]["body"] = _trial_note(study_id, trial)
    attributes = storage.get_study_user_attrs(study_id)
    if not detail["note"]["body"] and DEFINITION in attributes:
        best = detail["best_trials"][0] if len(detail["best_trials"]) == 1 else None
        detail["note"]["body"] = study_note(
            read_definition(detail["name"], attributes),
            best_value=float(best["values"][0]) if best else None,
            best_number=best["number"] if best else None,
            url=picture_url(study_id, best["trial_id"], "architecture") if best else "",
        )


def _trial_note(study_id: int, trial: FrozenTrial) -> str:
    return trial_note(
        trial.number,
        TrialFacts.from_user_attrs(trial.user_attrs),
        picture_url=picture_url(study_id, trial._trial_id, "trial"),
    )


# --- The server -----------------------------------------------------------------------------------------------------


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a request, so that a slow figure blocks no other page; threads die with the server."""

    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        # The base class asks DNS for its own full name here, which can take many seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error; everything else is reported as usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = 30.0  # seconds that a connection may stay silent

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Requests are not logged: the pages ask every few seconds."""

    def get_stderr(self) -> TextIO:
        return sys.stderr


def make_server(app: WSGIApplication, host: str, port: int) -> WSGIServer:
    """A threaded server for the application, bound and listening.

    Raises:
        InputError: If the host is unknown or the port is taken.
    """
    kind = _IPv6Server if ":" in host else _Server
    try:
        server = kind((host, port), _Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"got the address {host}:{port}, which cannot be listened on ({reason}); "
            "choose another --port, 0 for any free one."
        ) from error
    server.set_app(app)
    return server
