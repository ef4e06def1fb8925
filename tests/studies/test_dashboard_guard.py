"""Who may do what on the dashboard."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.util import setup_testing_defaults

import pytest

from automl.errors import InputError
from studies.dashboard.guard import LOGIN_PATH, guarded, is_loopback, known_hosts

TOKEN = "open sesame 42"


def behind(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"inside"]


class Visitor:
    """Sends requests to an application and keeps its cookies, as a browser does."""

    def __init__(self, *, token: str | None = None, read_only: bool = False) -> None:
        self.app = guarded(behind, hosts=known_hosts("127.0.0.1"), token=token, read_only=read_only)
        self.cookie, self.cookie_set = "", ""

    def __call__(
        self, path: str = "/api/studies", method: str = "GET", *, form: str = "", length: str = "", **headers: str
    ) -> tuple[int, bytes]:
        environ: WSGIEnvironment = {"PATH_INFO": path, "REQUEST_METHOD": method, "HTTP_HOST": "127.0.0.1:8080"}
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        environ |= {
            "wsgi.input": io.BytesIO(form.encode()),
            "CONTENT_LENGTH": length or str(len(form)),
            "HTTP_COOKIE": self.cookie,
        }
        setup_testing_defaults(environ)
        answers: list[int] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: object = None
        ) -> Callable[[bytes], object]:
            answers.append(int(status.split()[0]))
            self.cookie_set = dict(headers).get("Set-Cookie", self.cookie_set)
            self.cookie = self.cookie_set.partition(";")[0] or self.cookie
            return lambda _: None

        parts = b"".join(self.app(environ, start_response))
        return answers[0], parts


def log_in(visitor: Visitor, token: str) -> int:
    return visitor(LOGIN_PATH, "POST", form=f"token={token.replace(' ', '+')}")[0]


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "192.168.1.7:8080"])
def test_this_machine_may_be_called_by_its_names_and_by_any_address(host: str) -> None:
    assert Visitor()(host=host) == (200, b"inside")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8080", "", "[", "[evil]:8080"])
def test_a_name_that_is_not_this_machine_is_refused(host: str) -> None:
    status, body = Visitor()(host=host)
    assert status == 421
    assert b"inside" not in body


def test_changes_from_the_dashboards_own_pages_and_from_programs_are_let_through() -> None:
    assert Visitor()(method="DELETE")[0] == 200
    assert Visitor()(method="PUT", origin="http://127.0.0.1:8080", sec_fetch_site="same-origin")[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://["},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_changes_from_foreign_pages_are_refused(headers: dict[str, str], method: str) -> None:
    assert Visitor()("/api/studies/1", method, form="", **headers)[0] == 403


def test_read_only_refuses_every_change_and_allows_reading() -> None:
    visitor = Visitor(read_only=True)
    assert visitor()[0] == 200
    assert visitor(method="DELETE")[0] == 403
    assert visitor(method="POST")[0] == 403


def test_without_the_token_nothing_is_shown() -> None:
    visitor = Visitor(token=TOKEN)
    assert visitor()[0] == 401
    assert visitor(accept="text/html")[0] == 303
    assert visitor(authorization="Bearer wrong")[0] == 401
    visitor.cookie = f"automl_session={TOKEN}"
    assert visitor()[0] == 401


def test_the_token_in_a_header_opens_for_programs() -> None:
    assert Visitor(token=TOKEN)(authorization=f"Bearer {TOKEN}") == (200, b"inside")


def test_a_token_of_any_letters_opens_for_programs() -> None:
    visitor = Visitor(token="tök en 日本")
    sent = "Bearer tök en 日本".encode().decode("latin-1")  # as WSGI hands on what comes as UTF-8
    assert visitor(authorization=sent) == (200, b"inside")
    assert visitor(authorization="Bearer \xff\xfe")[0] == 401


def test_logging_in_once_opens_the_dashboard_for_a_browser() -> None:
    visitor = Visitor(token=TOKEN)
    assert log_in(visitor, "wrong token") == 403
    assert visitor()[0] == 401
    assert log_in(visitor, TOKEN) == 303
    assert visitor() == (200, b"inside")


@pytest.mark.parametrize("length", ["-1", "many", "9" * 5000])
def test_a_form_whose_length_is_none_is_not_read(length: str) -> None:
    assert Visitor(token=TOKEN)(LOGIN_PATH, "POST", form=f"token={TOKEN}", length=length)[0] == 403


def test_the_cookie_does_not_hold_the_token() -> None:
    visitor = Visitor(token=TOKEN)
    log_in(visitor, TOKEN)
    assert TOKEN not in visitor.cookie and TOKEN.split()[1] not in visitor.cookie


def test_the_cookie_is_kept_from_scripts_and_from_the_requests_of_other_pages() -> None:
    visitor = Visitor(token=TOKEN)
    log_in(visitor, TOKEN)
    assert {"HttpOnly", "SameSite=Strict"} <= set(visitor.cookie_set.split("; "))


def test_the_cookie_of_another_server_does_not_open() -> None:
    visitor, other = Visitor(token=TOKEN), Visitor(token=TOKEN)
    log_in(visitor, TOKEN)
    other.cookie = visitor.cookie
    assert other()[0] == 401


def test_a_read_only_dashboard_with_a_token_can_be_logged_into() -> None:
    visitor = Visitor(token=TOKEN, read_only=True)
    assert log_in(visitor, TOKEN) == 303
    assert visitor()[0] == 200
    assert visitor(method="DELETE")[0] == 403


def test_a_short_token_is_refused() -> None:
    with pytest.raises(InputError, match="got a token of 3 characters, expected 8 or more"):
        guarded(behind, hosts=(), token="abc")


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("", False)]
)
def test_loopback_addresses_are_told_from_others(host: str, own: bool) -> None:
    assert is_loopback(host) is own
