"""The client of the API: one host, no redirects, no endless answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.bot.conftest import Bot
from tests.bot.host import TOKEN, Fault, Host
from tests.run.commands import EXACT
from xf2sdpa.bot import web
from xf2sdpa.bot.secret import Secret
from xf2sdpa.bot.web import Client, ForgeError


@contextmanager
def answering(status: int, headers: dict[str, str], data: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that gives one answer to everything, and what it heard."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        server.server_close()


def client(api: str, told: list[str] | None = None) -> Client:
    secret = Secret(TOKEN, "x")
    return Client(api, {"Authorization": f"Bearer {TOKEN}"}, secret, [].append if told is None else told.append)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    with answering(200, {}, b"{}") as (elsewhere, heard), answering(status, {"Location": elsewhere}, b"") as (api, _):
        with pytest.raises(ForgeError, match="elsewhere, and we do not go"):
            client(api).get("/x")
        assert heard == []


@pytest.mark.parametrize("service", ["git-upload-pack", "git-receive-pack"])
def test_nor_does_git(host: Host, bot: Bot, service: str) -> None:
    repo = host.seed("owner/name", {"a.py": EXACT})
    with answering(200, {}, b"") as (elsewhere, heard):
        host.faults.append(Fault("GET", f"service={service}", 302, {"Location": f"{elsewhere}/x"}, times=9))
        told = bot.run("owner/name")
        assert (told.status, heard, repo.pulls) == (2, [], [])


def test_answers_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, {}, b"<html>") as (api, _), pytest.raises(ForgeError, match="no JSON"):
        client(api).get("/x")
    monkeypatch.setattr(web, "_MOST", 1000)
    with answering(200, {}, b"[" * 2000) as (api, _), pytest.raises(ForgeError, match="does not end"):
        client(api).get("/x")
    with answering(200, {"Content-Length": "50"}, b"{}") as (api, _), pytest.raises(ForgeError, match="no answer"):
        client(api).get("/x")
    with answering(200, {}, b"") as (api, _):
        assert client(api).get("/x") is None


def test_nobody_is_there(bare: list[float]) -> None:
    with answering(200, {}, b"") as (api, _):
        pass
    told: list[str] = []
    with pytest.raises(ForgeError, match="no answer") as raised:
        client(api, told).get("/x")
    assert (bare, len(told), raised.value.is_unsure) == ([1.0, 2.0, 4.0], 3, True)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"message": {"base": ["is wrong", "too"]}}', "is wrong; too"),
        (b'{"error": "x", "error_description": "y"}', "x"),
        (b'{"message": "a", "errors": ["b", {"message": "c"}]}', "a; b; c"),
        (b'{"message": "a", "errors": [{"resource": "R", "field": "f", "code": "d"}]}', "a; R f d"),
        (b'{"message": "::error::\\u001b[31mx\\nToken %s"}' % TOKEN.encode(), r":\:error::\x1b[31mx Token ***"),
        (b"<html>no</html>", "Unprocessable"),
        (b"[" * 100 + b"]" * 100, "Unprocessable"),
    ],
)
def test_what_a_forge_says_is_told_and_plain(data: bytes, said: str) -> None:
    with answering(422, {}, data) as (api, _), pytest.raises(ForgeError) as raised:
        client(api).get("/x")
    assert said in raised.value.message
    assert TOKEN not in raised.value.message
    assert len(raised.value.message) < 400


def test_a_token_is_not_cut_in_two() -> None:
    data = b'{"message": "%s%s"}' % (b"x" * 290, TOKEN.encode())
    with answering(422, {}, data) as (api, _), pytest.raises(ForgeError) as raised:
        client(api).get("/x")
    assert TOKEN[:5] not in raised.value.message


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_what_is_for_this_machine_goes_to_no_proxy(
    host: Host, bot: Bot, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Plain http is for this machine alone: a proxy would read the token."""
    repo = host.seed("owner/name", {"a.py": EXACT})
    with answering(500, {}, b"") as (elsewhere, heard):
        monkeypatch.setenv(name, elsewhere)
        told = bot.run("owner/name")
    assert (told.status, heard, len(repo.pulls)) == (0, [], 1), told.err


@pytest.mark.parametrize(
    "document",
    [[], {}, "x", 1, None, {"default_branch": None}, {"default_branch": 3}],
)
@pytest.mark.parametrize("forge", ["github", "gitlab", "gitea"])
def test_an_answer_of_another_form_is_told(host: Host, forge: str, document: object) -> None:
    repo = host.seed("owner/name", {"a.py": EXACT})
    host.faults.append(Fault("GET", r"/(owner/name|owner%2Fname)$", 200, document=document))
    told = Bot(host, forge).run("owner/name")
    assert (told.status, repo.pulls) == (2, [])
    has_none = isinstance(document, dict) and document.get("default_branch") is None
    assert ("has no default branch" if has_none else "the forge's answer is not of the form") in told.err


@pytest.mark.parametrize("document", [{}, "x", None, [{}], [1], [{"state": "open"}]])
@pytest.mark.parametrize("forge", ["github", "gitlab", "gitea"])
def test_a_list_of_another_form_is_told(host: Host, forge: str, document: object) -> None:
    repo = host.seed("owner/name", {"a.py": EXACT})
    host.faults.append(Fault("GET", r"/(pulls|merge_requests)\?", 200, document=document, times=9))
    told = Bot(host, forge).run("owner/name")
    if document is None:  # as good as an empty list
        assert (told.status, len(repo.pulls)) == (0, 1), told.err
    else:
        assert (told.status, repo.pulls) == (2, [])
        assert "the forge's answer is not of the form that its description has" in told.err


@pytest.mark.parametrize("after", ["\u00b2", "-1", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 400])
def test_an_odd_time_to_wait_is_none(bare: list[float], after: str) -> None:
    with answering(429, {"Retry-After": after}, b"{}") as (api, _), pytest.raises(ForgeError, match="429"):
        client(api).get("/x")
    assert sum(bare) <= web.PATIENCE


def test_an_answer_that_means_harm_is_shown_and_does_nothing(host: Host, bot: Bot) -> None:
    host.seed("owner/name", {"a.py": EXACT})
    evil = 'https://x.example/\x1b[31m\n::error::\u202e"><script>'
    pull = {"number": 1, "html_url": evil, "state": "open", "base": {"ref": "main"}, "body": evil}
    host.faults.append(Fault("POST", r"/pulls$", 201, document=pull, times=2))
    for json_too in (True, False):
        told = bot.run("owner/name", json_too=json_too)
        assert told.status == 0, told.err
        assert "\x1b" not in told.out + told.err
        assert "\u202e" not in told.out + told.err
        assert not [line for line in (told.out + told.err).splitlines() if line.lstrip().startswith("::")]
