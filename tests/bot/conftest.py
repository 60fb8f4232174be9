"""A forge a test, and `xf2sdpa pr` as a user calls it, with nothing of this machine's around it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.bot.host import TOKEN, Host, serving
from xf2sdpa.bot import web
from xf2sdpa.cli import cli

if shutil.which("git") is None:
    collect_ignore_glob = ["test_*.py"]

ROOT = Path(__file__).parents[2]
API = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1"}
VARIABLE = {"github": "GITHUB_TOKEN", "gitlab": "GITLAB_TOKEN", "gitea": "GITEA_TOKEN"}
AUTHOR = "A Bot <bot@example.com>"


@dataclass
class Told:
    """What a run printed, and its status."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> dict[str, Any]:
        """The JSON that it printed."""
        document: dict[str, Any] = json.loads(self.out)
        return document


@dataclass
class Bot:
    """Runs the command against one forge."""

    host: Host
    forge: str = "github"

    def run(self, slug: str, *options: str, token: str = TOKEN, json_too: bool = True) -> Told:
        """`xf2sdpa pr` for a repository of the host; what follows `--` comes last."""
        words = ["--remote", f"{self.host.base}/{slug}.git", "--api", self.host.base + API[self.forge]]
        words += ["--author", AUTHOR, *(["--output-format", "json"] if json_too else [])]
        done = CliRunner().invoke(cli, ["pr", *words, *options], env={VARIABLE[self.forge]: token or None})
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Told(done.exit_code, done.stdout, done.stderr)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """No token, no configuration and no waiting of this machine's; gives the seconds that were to be waited."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "GITEA_TOKEN", "FORGEJO_TOKEN", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GITHUB_SERVER_URL", "GITHUB_API_URL", "CI_SERVER_URL", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    waited: list[float] = []
    monkeypatch.setattr(web, "sleep", waited.append)
    return waited


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A forge; in the end, every request that was made of it was as its description has it."""
    with serving(tmp_path / "forge") as made:
        yield made
    assert made.violations == []


@pytest.fixture
def bot(host: Host) -> Bot:
    return Bot(host)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where processes keep what they compile: there are some fifty of them."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def path(tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A PATH on which `xf2sdpa` is the one of this checkout, as pip would put it there, and `python` this one."""
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(compiled))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "xf2sdpa"
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom xf2sdpa.__main__ import main\nsys.exit(main())\n")
    script.chmod(0o755)
    python = folder / "python"  # no link: by that, Python would not find the virtual environment
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def environment(path: str, folder: Path) -> dict[str, str]:
    """The variables of a process that runs what a user would type."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    libraries = [str(ROOT), os.environ.get("PYTHONPATH", ""), str(folder)]
    return {
        **kept,
        "PATH": path,
        "PYTHONPATH": os.pathsep.join(filter(None, libraries)),
        "GITHUB_TOKEN": TOKEN,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    }  # fmt: skip
