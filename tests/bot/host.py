"""A forge on this machine: real git over smart HTTP, and a double of three APIs that keeps state.

Git is served by `git http-backend`, as forges do it: reading is for everybody, pushing takes the token. The APIs answer
below `/api/v3` (GitHub Enterprise), `/api/v4` (GitLab) and `/api/v1` (Gitea); every request is held against the
published description, and so is every answer. A `Fault` makes the next requests of a kind fail.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.bot.contract import Violation, contract
from tests.bot.doubles import gitea, github, gitlab
from tests.bot.doubles.common import Refused
from tests.bot.repositories import CLEAN, Repo, commit

TOKEN = "t0ken_SECRET-tail"


@dataclass
class Fault:
    """What goes wrong once: a status with headers and a document, or the connection (status 0) after it was done."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    document: Any = None
    times: int = 1
    after: bool = False
    """Whether the request is carried out first."""


class Host:
    """The forge: its repositories, what was asked of it, and what is to go wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repos: dict[str, Repo] = {}
        self.log: list[tuple[str, str, Any]] = []
        self.heard: list[dict[str, str]] = []
        self.violations: list[str] = []
        self.faults: list[Fault] = []
        self.base = ""

    def seed(self, slug: str, files: Mapping[str, str | bytes], *, branch: str = "main") -> Repo:
        """A new repository with one commit."""
        path = self.folder / f"{slug}.git"
        path.mkdir(parents=True)
        repo = Repo(slug, path, branch)
        repo.git("init", "-q", "--bare", f"--initial-branch={branch}")
        repo.git("config", "http.receivepack", "true")
        self.repos[slug] = repo
        commit(repo, branch, files)
        return repo

    def clone(self, slug: str, folder: Path) -> Path:
        """A working copy, as a person has it."""
        subprocess.run(["git", "clone", "-q", f"{self.base}/{slug}.git", str(folder)], check=True, env=CLEAN)
        return folder

    def asked(self, method: str) -> list[str]:
        """The paths of the API that were asked for by a method."""
        return [path for made, path, _ in self.log if made == method and path.startswith("/api/")]


@contextmanager
def serving(folder: Path) -> Iterator[Host]:
    """A forge that runs until the end of the block."""
    host = Host(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"host": host}))
    server.daemon_threads = True
    host.base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    host: Host
    one_at_a_time = threading.Lock()
    """A forge's database has a request once, however many ask for it at the same moment."""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815

    def _serve(self) -> None:
        data = self._read()
        self.host.heard.append(dict(self.headers.items()))
        path = urlsplit(self.path).path
        is_api = path.startswith("/api/")
        body = json.loads(data) if is_api and data else None
        self.host.log.append((self.command, self.path, body))
        fault = next(
            (f for f in self.host.faults if f.times and f.method == self.command and re.search(f.path, self.path)), None
        )
        if fault is not None:
            fault.times -= 1
            if fault.after:
                self._api(body) if is_api else self._git(path, data)
            self._fail(fault)
        elif is_api:
            self._send(*self._api(body))
        else:
            self._sent(*self._git(path, data))

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _fail(self, fault: Fault) -> None:
        if fault.status == 0:
            self.close_connection = True
            self.connection.close()
            return
        self._send(fault.status, fault.document, fault.headers)

    def _send(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
        data = b"" if document is None else json.dumps(document).encode()
        self._sent(status, {"Content-Type": "application/json", **(headers or {})}, data)

    def _sent(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    # -- git --------------------------------------------------------------------------------------

    def _git(self, path: str, data: bytes) -> tuple[int, dict[str, str], bytes]:
        query = urlsplit(self.path).query
        pushing = "git-receive-pack" in self.path
        given = self.headers.get("Authorization", "")
        allowed = given.startswith("Basic ") and base64.b64decode(given[6:]).decode().partition(":")[2] == TOKEN
        if (given and not allowed) or (pushing and not allowed):
            return 401, {"WWW-Authenticate": 'Basic realm="git"'}, b""
        slug = path.partition(".git")[0].strip("/")
        if slug not in self.host.repos:
            return 404, {}, b""
        if pushing and not self.host.repos[slug].can_push:
            return 403, {}, b"Permission denied"
        done = subprocess.run(
            ["git", "http-backend"],
            input=data,
            capture_output=True,
            check=True,
            env={
                **CLEAN,
                "GIT_PROJECT_ROOT": str(self.host.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": unquote(path),
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_USER": "bot" if allowed else "",
            },
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        return int(headers.pop("Status", "200").split()[0]), headers, content

    # -- the APIs ---------------------------------------------------------------------------------

    def _api(self, body: Any) -> tuple[int, Any]:
        with self.one_at_a_time:
            return self._answer(body)

    def _answer(self, body: Any) -> tuple[int, Any]:
        version, _, rest = self.path.removeprefix("/api/").partition("/")
        name, answers = {
            "v3": ("github_api", github.ANSWERS),
            "v4": ("gitlab_api", gitlab.ANSWERS),
            "v1": ("gitea_api", gitea.ANSWERS),
        }[version]
        given = self.headers.get("Authorization", "")
        if given and given.partition(" ")[2] != TOKEN:
            return 401, {"message": "Bad credentials"}
        try:
            operation = contract(name).request(self.command, f"/{rest}", body)
            status, document = answers[operation](self.host, f"/{rest}", body)
            contract(name).answer(operation, status, document)
        except Refused as refused:
            return refused.status, refused.document
        except Violation as error:
            self.host.violations.append(str(error))
            return 400, {"message": f"not as the description has it: {error}"}
        return status, document
