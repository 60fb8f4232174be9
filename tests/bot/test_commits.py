"""Commits of ours: signed where asked, and in a git that obeys nobody else."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.bot.conftest import Bot
from tests.bot.host import Host
from tests.bot.repositories import CLEAN, commit
from tests.run.commands import EXACT
from xf2sdpa.bot import scratch
from xf2sdpa.bot.git import Git
from xf2sdpa.bot.model import BRANCH, BotError
from xf2sdpa.bot.remotes import place_of
from xf2sdpa.bot.scratch import Scratch

SLUG = "owner/name"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_a_commit_signed_with_an_ssh_key(host: Host, bot: Bot, tmp_path: Path) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT})
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    told = bot.run(SLUG, "--sign", str(key), "--sign-format", "ssh")
    assert told.status == 0, told.err
    allowed = tmp_path / "allowed"
    allowed.write_text(f"bot@example.com {key.with_suffix('.pub').read_text()}")
    repo.git("-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", BRANCH)
    assert bot.run(SLUG, "--sign", str(key), "--sign-format", "ssh").said["operation"] == "unchanged"
    commit(repo, "main", {"b.py": EXACT})
    assert bot.run(SLUG, "--sign", str(key), "--sign-format", "ssh").said["operation"] == "updated"


@pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg")
def test_a_commit_signed_with_a_gpg_key(host: Host, bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT})
    with tempfile.TemporaryDirectory() as home:  # a short name: gpg-agent listens at a socket in it
        monkeypatch.setenv("GNUPGHOME", home)
        gpg = ["gpg", "--batch", "--quiet", "--passphrase", ""]
        subprocess.run([*gpg, "--quick-generate-key", "A Bot <bot@example.com>", "ed25519"], check=True)
        told = bot.run(SLUG, "--sign", "bot@example.com")
        assert told.status == 0, told.err
        repo.git("verify-commit", BRANCH, GNUPGHOME=home)
        assert bot.run(SLUG, "--sign", "bot@example.com").said["operation"] == "unchanged"
        subprocess.run(["gpgconf", "--kill", "all"], check=False)


def test_a_key_that_is_not_there(host: Host, bot: Bot, tmp_path: Path) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT})
    told = bot.run(SLUG, "--sign", str(tmp_path / "none"), "--sign-format", "ssh")
    assert told.status == 2
    assert "the commit cannot be signed" in told.err
    assert repo.tip(BRANCH) == ""


def test_who_the_commit_is_by(host: Host, bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT})
    for text in ("", "nobody", "<a@b>", "a\nb <a@b>", "a <b c>"):
        told = bot.run(SLUG, "--author", text)
        assert told.status == 2, text
    assert repo.tip(BRANCH) == ""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    bot.run(SLUG, "--author", "", "--branch", "one")
    assert repo.git("log", "-1", "--format=%an", "one") == "github-actions[bot]"
    (tmp_path / "home" / ".gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.com\n")
    bot.run(SLUG, "--author", "", "--branch", "two")
    assert repo.git("log", "-1", "--format=%an <%ae>", "two") == "Ada <ada@example.com>"


def test_bytes_stay_bytes(host: Host, bot: Bot) -> None:
    dos = EXACT.replace("\n", "\r\n")
    files: dict[str, str | bytes] = {
        ".gitattributes": "*.py text eol=lf ident\n",
        "dos.py": dos,
        "build/kept.py": EXACT,
        ".gitignore": "build/\n",
        "old.py": "# coding: latin-1\n# \xe9 $Id$\n".encode("latin-1") + EXACT.encode(),
        "other.bin": b"\0\1\r\n",
    }
    repo = host.seed(SLUG, files)
    bot.run(SLUG)
    assert repo.git("diff", "--name-only", "main", BRANCH).split() == ["build/kept.py", "dos.py", "old.py"]
    shown = subprocess.run(
        ["git", "-C", str(repo.path), "cat-file", "blob", f"{BRANCH}:dos.py"],
        capture_output=True,
        check=True,
        env=CLEAN,
    ).stdout
    assert b"\r\n    return torch.nn" in shown
    assert b"\n" not in shown.replace(b"\r\n", b"")
    assert repo.git("diff", "--shortstat", "main", BRANCH, "--", "old.py").endswith("3 insertions(+), 2 deletions(-)")


def test_modes_stay_modes(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, {"run.py": EXACT})
    index = {"GIT_INDEX_FILE": str(repo.path / "x"), **CLEAN}
    repo.git("read-tree", "main", **index)
    repo.git("update-index", "--cacheinfo", f"100755,{repo.git('rev-parse', 'main:run.py')},run.py", **index)
    repo.git("update-ref", "refs/heads/main", repo.git("commit-tree", repo.git("write-tree", **index), "-m", "x"))
    bot.run(SLUG)
    assert repo.git("ls-tree", BRANCH, "run.py").startswith("100755")


@pytest.mark.parametrize("name", ["/x.py", "../x.py", "./x.py", "a//x.py", "a/../x.py"])
def test_a_new_file_is_never_passed_over(tmp_path: Path, name: str) -> None:
    """Git leaves out a name that it does not like, and says so only to a person."""
    ours = Git(tmp_path, place_of("https://github.com/owner/name", {}), None, [].append)
    ours.init()
    with pytest.raises(BotError, match="would be new"):
        Scratch(ours).tree([name])


def test_a_huge_file_stays_as_it_was(host: Host, bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "LARGEST", 1_000)
    repo = host.seed(SLUG, {"a.py": EXACT, "huge.py": EXACT + "# A line.\n" * 200})
    assert bot.run(SLUG).status == 0
    assert repo.git("diff", "--name-only", "main", BRANCH) == "a.py"
