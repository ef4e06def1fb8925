"""Who may do what on the dashboard: a WSGI wrapper around optuna-dashboard, which itself lets everybody do everything.

Four checks, in this order: the Host header names this machine (so no foreign page reaches it by DNS rebinding), a
request that changes something comes from this dashboard's own pages, the visitor has shown the token where there is
one, and nothing is changed in read-only mode. The token travels in the body of one form or in an Authorization
header, never in a URL, so it is in no log and no browser history.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import socket
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from automl.errors import InputError

LOGIN_PATH = "/automl/login"
MIN_TOKEN_LENGTH = 8  # where other machines can reach the port, and try as many tokens as they like
_COOKIE = "automl_session"
_LONGEST_FORM = 4096  # bytes
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_LOGIN_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>automl dashboard</title>
<meta name="viewport" content="width=device-width">
<style>body{{font:16px/1.5 system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;background:#f1f5f9;
color:#0f172a}}form{{background:#fff;padding:2rem 2.5rem;border-radius:12px;box-shadow:0 1px 4px #0003}}
input,button{{font:inherit;padding:.4rem .7rem;border-radius:6px;border:1px solid #94a3b8}}
button{{background:#2563eb;border-color:#2563eb;color:#fff}}h1{{font-size:1.2rem;margin-top:0}}</style></head>
<body><form method="post" action="{path}"><h1>automl dashboard</h1><p>{message}</p>
<p><label>Token <input type="password" name="token" autocomplete="current-password" autofocus required></label>
<button>Open</button></p></form></body></html>
"""


def guarded(
    app: WSGIApplication,
    *,
    hosts: Iterable[str],
    token: str | None = None,
    read_only: bool = False,
    shortest_token: int = MIN_TOKEN_LENGTH,
) -> WSGIApplication:
    """The application behind the four checks.

    Args:
        app: The application to protect.
        hosts: Names by which visitors may call this machine; addresses are always allowed, since only a name can be
            rebound.
        token: What visitors must show once; None lets everybody in who can reach the port.
        read_only: Whether to refuse every request that would change something.
        shortest_token: Characters that a token must have.

    Raises:
        InputError: If the token is too short to keep anybody out.
    """
    if token is not None and len(token) < shortest_token:
        raise InputError(
            f"got a token of {len(token)} characters, expected {shortest_token} or more; choose a longer one."
        )
    names = frozenset(host.lower() for host in hosts)
    session = secrets.token_urlsafe(32)  # what the cookie holds instead of the token; a restart ends all sessions

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        changes = environ["REQUEST_METHOD"] not in _SAFE_METHODS
        if not _host_is_known(environ, names):
            return _refuse(start_response, "421 Misdirected Request", "This machine is not known by that name.")
        if changes and not _is_same_origin(environ):
            return _refuse(start_response, "403 Forbidden", "Only this dashboard's own pages may change anything.")
        if token is not None:
            if environ.get("PATH_INFO") == LOGIN_PATH:
                return _log_in(environ, start_response, token, session)
            if not _has_shown_token(environ, token, session):
                return _ask_for_token(environ, start_response)
        if changes and read_only:
            return _refuse(start_response, "403 Forbidden", "This dashboard was started with --read-only.")
        return app(environ, start_response)

    return application


def known_hosts(host: str) -> frozenset[str]:
    """Names by which a server bound to `host` may be called."""
    return frozenset({"localhost", host.lower(), socket.gethostname().lower()})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _host_is_known(environ: WSGIEnvironment, names: frozenset[str]) -> bool:
    try:
        host = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname or ""
    except ValueError:  # brackets that hold no address
        return False
    return host in names or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_same_origin(environ: WSGIEnvironment) -> bool:
    """Browsers say where a changing request comes from; programs such as curl say nothing and are no danger here."""
    if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") not in ("same-origin", "none"):
        return False
    origin = environ.get("HTTP_ORIGIN")
    return origin is None or origin.partition("://")[2] == environ.get("HTTP_HOST")


def _has_shown_token(environ: WSGIEnvironment, token: str, session: str) -> bool:
    # WSGI gives each byte of a header as a character; the token was sent as UTF-8.
    header = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace").decode(errors="replace")
    scheme, _, given = header.partition(" ")
    if scheme.lower() == "bearer" and _equal(given.strip(), token):
        return True
    try:
        cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    except CookieError:
        return False
    return _COOKIE in cookies and _equal(cookies[_COOKIE].value, session)


def _equal(given: str, expected: str) -> bool:
    """Comparison in constant time, so that answers do not tell how much of a guess was right."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode())


def _ask_for_token(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] == "GET" and "text/html" in environ.get("HTTP_ACCEPT", ""):
        start_response("303 See Other", [("Location", LOGIN_PATH), ("Content-Length", "0")])
        return []
    return _refuse(start_response, "401 Unauthorized", "Show the token: log in, or send 'Authorization: Bearer TOKEN'.")


def _log_in(environ: WSGIEnvironment, start_response: StartResponse, token: str, session: str) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] != "POST":
        return _login_page(start_response, "200 OK", "Enter the token that was given to automl dashboard.")
    form = parse_qs(environ["wsgi.input"].read(_form_length(environ)).decode(errors="replace"))
    if not _equal(form.get("token", [""])[0], token):
        return _login_page(start_response, "403 Forbidden", "That is not the token; try again.")
    cookie = f"{_COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict"
    start_response("303 See Other", [("Location", "/dashboard"), ("Set-Cookie", cookie), ("Content-Length", "0")])
    return []


def _form_length(environ: WSGIEnvironment) -> int:
    """How many bytes of a form to read; a negative number, which a visitor may send, would read for ever."""
    try:
        return min(max(int(environ.get("CONTENT_LENGTH") or 0), 0), _LONGEST_FORM)
    except ValueError:
        return 0


def _login_page(start_response: StartResponse, status: str, message: str) -> Iterable[bytes]:
    page = _LOGIN_PAGE.format(path=LOGIN_PATH, message=message).encode()
    policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    return answer(start_response, status, "text/html; charset=utf-8", page, policy=policy)


def _refuse(start_response: StartResponse, status: str, reason: str) -> Iterable[bytes]:
    """An answer in the form that the dashboard's pages read ({"reason": ...})."""
    return answer(start_response, status, "application/json", json.dumps({"reason": reason}).encode())


def answer(
    start_response: StartResponse,
    status: str,
    content_type: str,
    body: bytes,
    *,
    policy: str = "default-src 'none'",
    caching: str = "no-store",
) -> Iterable[bytes]:
    """One complete answer with the headers that keep a browser from guessing at its content."""
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("Content-Security-Policy", policy),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", caching),
    ]
    start_response(status, headers)
    return [body]
