"""Git of the bot's: what is handed to it arrives, it is asked again where that may help, and it keeps the token."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bot.conftest import Bot
from tests.bot.host import TOKEN, Fault, Host
from tests.bot.repositories import commit
from tests.run.commands import EXACT
from xf2sdpa.bot import git, web
from xf2sdpa.bot.model import BRANCH
from xf2sdpa.bot.remotes import place_of
from xf2sdpa.bot.secret import Secret

SLUG = "owner/name"
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.mark.timeout(60)
def test_what_is_handed_over_arrives_where_the_wait_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "_HEARTBEAT", 0.0001)
    told: list[str] = []
    ours = git.Git(tmp_path, place_of("https://github.com/owner/name", {}), None, told.append)
    ours.init()
    data = b"x" * 5_000_000
    name = ours.run("hash-object", "--stdin", data=data, doing="hashing")
    assert name.decode().strip() == hashlib.sha1(b"blob %d\0%b" % (len(data), data)).hexdigest()
    assert told, "it was waited for more than once"


SHIM = """\
#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word" >> '{seen}'; done
(while [ "$1" = -c ]; do shift 2; done; [ -z "$GIT_CONFIG_COUNT" ] || echo "$1" >> '{told}')
'{git}' "$@"
status=$?
grep -rlaF -e '{token}' -e '{basic}' . >> '{found}' 2> /dev/null
exit $status
"""


def test_the_token_is_on_no_command_line_and_in_no_file(
    host: Host, bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a git that writes down what it is told, and looks through the folder that it was told to work in."""
    repo = host.seed(SLUG, {"a.py": EXACT})
    seen, found, told = tmp_path / "seen", tmp_path / "found", tmp_path / "told"
    folder = tmp_path / "shim"
    folder.mkdir()
    basic = Secret(TOKEN, "x-access-token").basic()
    text = SHIM.format(git=shutil.which("git"), seen=seen, found=found, told=told, token=TOKEN, basic=basic)
    (folder / "git").write_text(text)
    (folder / "git").chmod(0o755)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    assert bot.run(SLUG).said["operation"] == "created"
    commit(repo, "main", {"b.py": EXACT})
    assert bot.run(SLUG).said["operation"] == "updated"
    words = seen.read_text().split("\n")
    assert {"ls-remote", "fetch", "commit-tree", "push"} <= set(words)
    assert not [word for word in words if TOKEN in word or basic in word]
    assert found.read_text() == ""
    assert set(told.read_text().split()) == {"ls-remote", "fetch", "push"}, "no other command is told of it"
    assert any(basic in heard.get("Authorization", "") for heard in host.heard), "it was used"


def test_what_the_other_side_prints_is_told_without_the_token(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT})
    hook = repo.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho 'you are {TOKEN}, {Secret(TOKEN, 'x-access-token').basic()}' >&2\nexit 1\n")
    hook.chmod(0o755)
    told = bot.run(SLUG)
    assert told.status == 2
    assert "you are ***, ***" in told.err


@pytest.mark.parametrize("name", [".netrc", "_netrc"])
def test_a_file_of_the_repository_is_nobodys_home(
    host: Host, bot: Bot, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What git and curl look for in the user's home is not looked for among the repository's files."""
    machine = "machine 127.0.0.1 login evil password not-the-token\n"
    repo = host.seed(SLUG, {"a.py": EXACT, name: machine, ".gitconfig": "[core]\n\tsshCommand = x\n"})
    bot.run(SLUG)
    for number in range(3):  # git goes back to the forge once the files are there
        commit(repo, "main", {f"notes{number}.txt": "x\n"})
    bot.run(SLUG, "--dry-run", token="")
    refused = {"WWW-Authenticate": 'Basic realm="git"'}
    host.faults.append(Fault("POST", "git-upload-pack$", 401, refused, times=9))
    host.faults[0].times = 0
    real = git.Git.run

    def run(self: git.Git, *words: str, **more: Any) -> bytes:
        host.faults[0].times = 9 if "--filter=tree:0" in words else 0
        return real(self, *words, **more)

    monkeypatch.setattr(git.Git, "run", run)
    bot.run(SLUG, "--dry-run", token="")
    assert host.faults[0].times < 9, "it was asked, and refused"
    given = [heard["Authorization"] for heard in host.heard if "Authorization" in heard]
    evil = base64.b64encode(b"evil:not-the-token").decode()
    assert not [header for header in given if evil in header]


def test_git_has_no_home_among_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = git.Git(tmp_path, place_of("https://github.com/owner/name", {}), None, [].append)
    ours.init()
    monkeypatch.delenv("HOME", raising=False)
    for with_keys in (False, True):
        home = Path(ours._environment(to_forge=False, with_keys=with_keys)["HOME"])
        assert home == tmp_path / ".git", "where no file of a repository can be"


@pytest.mark.parametrize(
    "case", [("git version 2.25.1", "git 2.25 is too old"), ("nonsense", "is too old"), ("", "cannot be run")]
)
def test_a_git_that_will_not_do(
    host: Host, bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, str]
) -> None:
    said, told_as = case
    host.seed(SLUG, {"a.py": EXACT})
    folder = tmp_path / "old"
    folder.mkdir()
    if said:
        (folder / "git").write_text(f"#!/bin/sh\necho {said}\n")
        (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    told = bot.run(SLUG)
    assert told.status == 2
    assert told_as in told.err


# -- a forge that fails for a moment --------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 0])
@pytest.mark.parametrize(
    "where",
    [
        "GET service=git-upload-pack",
        "POST git-upload-pack$",
        "GET service=git-receive-pack",
        "POST git-receive-pack$",
    ],
)
def test_git_is_asked_again(host: Host, bot: Bot, bare: list[float], where: str, status: int) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT})
    method, what = where.split()
    host.faults.append(Fault(method, what, status))
    told = bot.run(SLUG)
    assert (told.status, told.said["operation"], len(repo.pulls)) == (0, "created", 1), told.err
    assert bare == [1.0]
    assert "trying again" in told.err


def test_git_is_not_asked_for_ever(host: Host, bot: Bot, bare: list[float]) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT})
    host.faults.append(Fault("POST", "git-receive-pack$", 503, times=99))
    told = bot.run(SLUG)
    assert (told.status, bare, repo.pulls) == (2, [1.0, 2.0, 4.0], [])
    assert "503" in told.err


@pytest.mark.parametrize("after", [False, True])
def test_a_push_whose_answer_is_lost_is_one_push(host: Host, bot: Bot, after: bool) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT})
    host.faults.append(Fault("POST", "git-receive-pack$", 0, after=after))
    told = bot.run(SLUG)
    assert (told.status, told.said["commit"]) == (0, repo.tip(BRANCH)), told.err
    assert repo.git("rev-list", "--count", f"main..{BRANCH}") == "1"


def test_a_push_that_arrived_is_one_though_nobody_answers_any_more(
    host: Host, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT})
    host.faults.append(Fault("POST", "git-receive-pack$", 0, after=True))
    again = Fault("GET", "service=git-receive-pack", 503)
    monkeypatch.setattr(web, "sleep", lambda _: host.faults.append(replace(again)))
    told = bot.run(SLUG)
    assert (told.status, told.said["operation"], len(repo.pulls)) == (0, "created", 1), told.err


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_not_asked_for_again(host: Host, bot: Bot, bare: list[float], status: int) -> None:
    host.seed(SLUG, {"a.py": EXACT})
    host.faults.append(Fault("GET", "service=git-receive-pack", status, {"WWW-Authenticate": 'Basic realm="git"'}))
    told = bot.run(SLUG)
    assert (told.status, bare) == (2, [])
    assert {401: "the token is not accepted", 403: "the token may not push", 404: "not found"}[status] in told.err
