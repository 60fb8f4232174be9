"""A repository that means harm: nothing of it runs, nothing leaks, and the request's text is inert."""

from __future__ import annotations

import os
import stat
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.bot.conftest import AUTHOR, Bot
from tests.bot.host import TOKEN, Host
from tests.bot.page import html
from tests.bot.repositories import CLEAN, Repo, commit
from tests.run.commands import COMPAT, EXACT, LEFT
from xf2sdpa.bot.model import BRANCH
from xf2sdpa.cli import cli

SLUG = "owner/name"
OLD = "0ld-t0ken-in-the-remote"
NAMES = [
    'a";$(touch PWNED);".py',
    "`touch PWNED`|b.py",
    "::error file=x,line=1::c.py",
    "%0A::error::d.py",
    "new\n::error::line.py",
    "\x1b[31m\x1b]0;title\x07red.py",
    "<img src=x onerror=alert(1)>.py",
    "<script>alert(1)</script>.py",
    "[x](javascript:alert(1)).py",
    "![x](https:evil.example.png).py",
    "</code></details>.py",
    "@everyone fixes #1 !1.py",
    "--exclude=x.py",
    "-rf.py",
    "\udcff.py",
    "\u202egpj.py",
    "$(id)&&id;id'\".py",
    "/close\n.py".strip("/"),
    "a\n/close\n.py",
]
CODE = '''\
import xformers.ops as xops


def attend(q, k, v, masks):
    """</code><script>alert(1)</script> ::error::x"""
    return xops.memory_efficient_attention(
        q["</code><img src=x onerror=alert(1)>"], k[" | [x](javascript:alert(1))"], v["""
::error::x
"""], attn_bias=masks["@everyone fixes #1 `$(id)`"]
    )
'''
PROVED = EXACT.replace("x, weight, b", "x, weight, a, b").replace(
    "linear(x, weight)", 'linear(x, weight["</code><b>|`#1"])'
)


def hostile(host: Host) -> Repo:
    files = {
        f"package/{name}": text for name, text in zip(NAMES, [EXACT, CODE, LEFT, PROVED, COMPAT] * 9, strict=False)
    }
    files |= {
        "package/__init__.py": "",
        ".gitattributes": "* filter=evil diff=evil merge=evil text eol=crlf ident working-tree-encoding=UTF-16\n",
        ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch% PWNED\n\tupdate = !touch PWNED\n',
        "requirements.txt": "xformers # <script>alert(1)</script> @everyone\n",
        "setup.cfg": "[options]\ninstall_requires =\n    xformers  # $(touch PWNED)\n",
        "notes.md": "xformers ::error::\n",
    }
    repo = host.seed(SLUG, files)
    passwd = repo.git("hash-object", "-w", "/etc/passwd")
    entries = [
        ("120000", "package/link.py", "/etc/passwd"),
        ("120000", "package/out.py", "../../../outside.py"),
        ("120000", "package/folder", "/etc"),
        ("160000", "x", ""),
    ]
    index = {"GIT_INDEX_FILE": str(repo.path / "hostile"), **CLEAN}
    repo.git("read-tree", "main", **index)
    for mode, name, target in entries:
        made = subprocess.run(
            ["git", "-C", str(repo.path), "hash-object", "-w", "--stdin"],
            input=target.encode(), check=True, capture_output=True,
        ).stdout.decode().strip()  # fmt: skip
        made = repo.tip("main") if mode == "160000" else made
        subprocess.run(
            ["git", "-C", str(repo.path), "update-index", "-z", "--index-info"],
            input=f"{mode} {made}\t{name}\0".encode(), check=True, env=index,
        )  # fmt: skip
    assert passwd
    tree = repo.git("write-tree", **index)
    repo.git("update-ref", "refs/heads/main", repo.git("commit-tree", tree, "-p", "main", "-m", "links"))
    return repo


def working_copy(host: Host, folder: Path, marker: Path) -> Path:
    """A working copy whose `.git` runs a command wherever git would let it."""
    folder.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True, env=CLEAN)
    evil = folder / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch '{marker}'\nexit 0\n")
    evil.chmod(evil.stat().st_mode | stat.S_IXUSR)
    for hook in ("pre-commit", "commit-msg", "pre-push", "post-checkout", "reference-transaction", "post-index-change"):
        (folder / ".git" / "hooks").mkdir(exist_ok=True)
        (folder / ".git" / "hooks" / hook).symlink_to(evil)
    address = host.base.replace("http://", f"http://user:{OLD}@")
    (folder / ".git" / "config").write_text(f"""\
[core]
    repositoryformatversion = 0
    fsmonitor = {evil}
    sshCommand = {evil}
    hooksPath = {folder}/.git/hooks
    editor = {evil}
    pager = {evil}
    askPass = {evil}
    gitProxy = {evil}
    alternateRefsCommand = {evil}
[remote "origin"]
    url = {address}/{SLUG}.git
    pushurl = http://127.0.0.1:1/evil/evil.git
    uploadpack = {evil}
    receivepack = {evil}
    proxy = http://127.0.0.1:1
[url "http://127.0.0.1:1/"]
    insteadOf = {host.base}/
[filter "evil"]
    clean = {evil}
    smudge = {evil}
    process = {evil}
    required = true
[diff "evil"]
    command = {evil}
    textconv = {evil}
[credential]
    helper = !{evil}
[gpg]
    program = {evil}
[commit]
    gpgSign = true
[user]
    name = evil
    email = evil@example.com
[http]
    proxy = http://127.0.0.1:1
    extraHeader = X-Evil: 1
[protocol "ext"]
    allow = always
[include]
    path = {folder}/included
""")
    (folder / "included").write_text(
        f'[alias]\n\tfetch = !{evil}\n\tconfig = !{evil}\n[remote "origin"]\n\turl = http://127.0.0.1:1/evil/evil.git\n'
    )
    (folder / "xf2sdpa.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (folder / "json.py").write_text(f"open({str(marker)!r}, 'w')\n")
    return folder


class Seen(HTMLParser):
    """The tags of a page, and every attribute but a link's."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if (tag, name) == ("a", "href"):
                self.links.append(str(value))
            else:
                self.attributes.add((name, str(value)))


def rendered(body: str) -> Seen:
    seen = Seen()
    seen.feed(html(body))
    return seen


HARMLESS = {
    *("p", "pre", "h3", "ul", "li", "code", "strong", "em", "a", "br", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


def test_nothing_runs_and_nothing_leaks(host: Host, bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = hostile(host)
    marker = tmp_path / "PWNED"
    outside = tmp_path / "outside.py"
    outside.write_text(EXACT)
    copy = working_copy(host, tmp_path / "copy", marker)
    before = {path: path.lstat().st_mtime_ns for path in sorted(copy.rglob("*"))}
    monkeypatch.chdir(copy)
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {marker}")
    monkeypatch.setenv("GIT_TRACE_CURL", str(tmp_path / "traced"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = CliRunner().invoke(
        cli, ["pr", "--api", f"{host.base}/api/v3", "--author", AUTHOR, "--dry-run"], env={"GITHUB_TOKEN": TOKEN}
    )
    assert done.exit_code == 0, done.stderr
    words = ["pr", "--api", f"{host.base}/api/v3", "--author", AUTHOR, "--", "--jobs", "1"]
    real = CliRunner().invoke(cli, words, env={"GITHUB_TOKEN": TOKEN})
    assert real.exit_code == 0, real.stderr

    assert not marker.exists()
    assert not list(tmp_path.rglob("PWNED"))
    assert not (tmp_path / "traced").exists()
    assert {path: path.lstat().st_mtime_ns for path in sorted(copy.rglob("*"))} == before
    assert outside.read_text() == EXACT
    assert not list(tmp_path.glob("xf2sdpa-*")), "the folder of the run is gone"

    changed = repo.git("diff", "--raw", "--no-renames", "-z", "main", BRANCH)
    assert "120000" not in changed
    assert "160000" not in changed
    assert repo.git("ls-tree", BRANCH, "--", "x").startswith("160000")
    assert repo.git("show", f"{BRANCH}:package/link.py") == "/etc/passwd"
    text = repo.git("show", f"{BRANCH}:package/{NAMES[0]}")
    assert "scaled_dot_product_attention" in text
    assert "\r" not in text, "attributes have no say"

    body = repo.pulls[0].body
    printed = done.stdout + done.stderr + real.stdout + real.stderr
    for secret in (TOKEN, OLD):
        assert secret not in body + printed + repo.git("cat-file", "commit", BRANCH)
        assert not any(secret in path for _, path, _ in host.log)
        for file in tmp_path.rglob("*"):
            if file.is_file() and not file.is_symlink() and file != copy / ".git" / "config":
                assert secret.encode() not in file.read_bytes(), file
    assert not any("X-Evil" in heard for heard in host.heard)
    assert not [line for line in printed.splitlines() if line.lstrip().startswith("::") or "##[" in line]
    assert "\x1b" not in printed + body
    assert "\x07" not in printed + body
    subprocess.run(["git", "status"], cwd=copy, capture_output=True, env=CLEAN, check=False)
    assert marker.exists(), "the trap is one: git alone walks into it"


def test_the_text_is_inert(host: Host, bot: Bot) -> None:
    repo = hostile(host)
    assert bot.run(SLUG, "--", "--jobs", "1").status == 0
    body = repo.pulls[0].body
    seen = rendered(body)
    assert seen.tags <= HARMLESS
    assert seen.attributes <= {("open", "None"), ("class", "language-sh")} | {
        ("style", f"text-align:{side}") for side in ("left", "right")
    }
    assert {link.partition("/blob/")[0] for link in seen.links} == {f"{host.base}/{SLUG}"}
    assert not [link for link in seen.links if "<" in link or '"' in link or "\n" in link or " " in link]
    assert body.count("<details") == body.count("</details>")
    lines = body.splitlines()
    assert not [line for line in lines if line.lstrip().startswith(("/", "::"))]
    for acting in ("@everyone", "fixes #1", "fixes \\#1", "!1.py"):
        assert acting not in body
    rows = [line for line in lines if line.startswith("| [")]
    assert len(rows) >= 10
    for row in rows:
        assert row.replace("\\|", "").count("|") == 5, "a bar in a name makes no column"


def test_a_base_of_any_name(host: Host, bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = '--upload-pack=x";$(touch${IFS}PWNED)<b>`id`&&|::error::@everyone#1'.replace(":", "").lstrip("-")
    repo = host.seed(SLUG, {"a.py": EXACT}, branch=name)
    told = bot.run(SLUG)
    assert (told.status, told.said["base"]) == (0, name), told.err
    assert not list(tmp_path.rglob("PWNED"))
    assert repo.pulls[0].base == name


@pytest.mark.parametrize("name", [".git/config", "a/../../x.py", ".GIT/hooks/pre-push"])
def test_names_that_lead_out_are_refused(host: Host, bot: Bot, name: str) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT})
    blob = repo.git("rev-parse", "main:a.py")
    tree = f"100644 blob {blob}\tx.py\n"
    parts = name.split("/")
    made = ""
    for part in reversed(parts):
        entry = f"100644 blob {blob}\t{part}\n" if not made else f"040000 tree {made}\t{part}\n"
        if part == parts[0]:
            entry = tree + entry
        made = subprocess.run(
            ["git", "-C", str(repo.path), "mktree"], input=entry.encode(), check=True, capture_output=True, env=CLEAN
        ).stdout.decode().strip()  # fmt: skip
    repo.git("update-ref", "refs/heads/main", repo.git("commit-tree", made, "-m", "evil"))
    told = bot.run(SLUG)
    assert told.status == 2
    assert "invalid path" in told.err or "leads out" in told.err
    assert repo.pulls == []


def test_a_helper_does_not_take_the_place_of_a_link(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, {"package/__init__.py": "", "package/model.py": COMPAT})
    index = {"GIT_INDEX_FILE": str(repo.path / "linked"), **CLEAN}
    repo.git("read-tree", "main", **index)
    blob = repo.git("rev-parse", "main:package/model.py")
    repo.git("update-index", "--add", "--cacheinfo", f"120000,{blob},package/_attention_compat.py", **index)
    repo.git("update-ref", "refs/heads/main", repo.git("commit-tree", repo.git("write-tree", **index), "-m", "link"))
    told = bot.run(SLUG)
    assert told.status == 2
    assert "_attention_compat.py would be new, but the repository has a link" in told.err


@pytest.mark.parametrize("table", ['paths = ["../.."]', 'paths = ["/etc"]', 'flags-in = ["/etc/x.py"]', "nonsense = 1"])
def test_a_configuration_that_leads_out_is_refused(host: Host, bot: Bot, table: str) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT, "pyproject.toml": f"[tool.xf2sdpa]\n{table}\n"})
    told = bot.run(SLUG)
    assert (told.status, repo.pulls) == (2, []), told.out


def test_a_remote_of_another_host_gets_nothing(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["git", "init", "-q", str(copy)], check=True, env=CLEAN)
    monkeypatch.chdir(copy)
    for address, api in [
        (f"{host.base}/{SLUG}.git", None),
        (f"{host.base}/{SLUG}.git", "https://api.github.com"),
        ("https://github.com.evil.example/owner/name", None),
        ("https://github.com@evil.example/owner/name", None),
        (f"{host.base}/{SLUG}.git", f"{host.base.replace('127.0.0.1', 'localhost')}/api/v3"),
        ("ext::sh -c touch% PWNED", None),
        ("--upload-pack=touch PWNED", None),
        ("/etc/passwd", None),
        ("file:///etc/passwd", None),
    ]:
        subprocess.run(["git", "-C", str(copy), "config", "remote.origin.url", address], check=True, env=CLEAN)
        words = ["pr", "--author", AUTHOR, *(["--api", api] if api else [])]
        done = CliRunner().invoke(cli, words, env={"GITHUB_TOKEN": TOKEN})
        assert done.exit_code == 2, address
        assert TOKEN not in done.output
    assert host.log == []
    assert not list(tmp_path.rglob("PWNED"))
    assert os.environ.get("GITHUB_TOKEN") is None


def test_commits_of_others_are_told_from_ours_by_more_than_words(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT})
    commit(repo, BRANCH, {"b.py": "x = 1\n"}, message=f"work\n\nXf2sdpa-Mark: {'0' * 64}")
    assert bot.run(SLUG).said["operation"] == "left alone"
