"""Every line of docs/bot.md that a user pastes, pasted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.bot.conftest import ROOT, Bot, environment
from tests.bot.host import TOKEN, Host
from tests.bot.repositories import Repo, commit
from tests.run.commands import EXACT
from xf2sdpa.bot.command import command
from xf2sdpa.bot.model import BRANCH

yaml = pytest.importorskip("yaml")

TEXT = (ROOT / "docs" / "bot.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
SLUG = "owner/name"
REFERENCE_ONLY = 3
"""What `xf2sdpa verify` ends with where there is no GPU or no xformers."""


def blocks(kind: str, word: str) -> str:
    (found,) = (block for language, block in BLOCKS if language == kind and word in block)
    return str(found)


PASTED = ("pr --dry-run\nxf2sdpa pr\n", "--draft", "git.example.com", "--verify-report", "all-repos")
"""A word of each block of commands; the tests below paste them."""


def test_every_block_of_commands_is_pasted() -> None:
    assert [blocks("sh", word) for word in PASTED] == [block for language, block in BLOCKS if language == "sh"]


class Desk:
    """A working copy, and a shell in it."""

    def __init__(self, host: Host, folder: Path, path: str) -> None:
        self.repo: Repo = host.seed(SLUG, {"src/model.py": EXACT, "src/__init__.py": ""})
        self.place = host.clone(SLUG, folder / "copy")
        (folder / "home" / ".gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.com\n")
        stub = Path(path.partition(":")[0]) / "pip"
        stub.write_text("#!/bin/sh\nexit 0\n")
        stub.chmod(0o755)
        self.host = host
        self.around = environment(path, folder / "copy")
        self.around |= {"GITHUB_SERVER_URL": host.base, "GITHUB_API_URL": f"{host.base}/api/v3"}

    def type(self, lines: str, **more: str) -> list[str]:
        """Type lines one after another, and give what each printed."""
        told = []
        here = self.place
        for line in lines.splitlines():
            if line.startswith("cd "):
                here = here / line[3:]
                continue
            done = subprocess.run(
                ["bash", "-c", line.replace("https://git.example.com", self.host.base)],
                cwd=here, env={**self.around, **more}, capture_output=True, text=True, check=False,
            )  # fmt: skip
            allowed = (0, REFERENCE_ONLY) if line.startswith("xf2sdpa verify") else (0,)
            assert done.returncode in allowed, (line, done.stdout, done.stderr)
            told.append(done.stdout + done.stderr)
        return told


@pytest.fixture
def desk(host: Host, tmp_path: Path, path: str) -> Desk:
    return Desk(host, tmp_path, path)


def test_one_repository(desk: Desk) -> None:
    planned, created = desk.type(blocks("sh", "pr --dry-run\nxf2sdpa pr\n"))
    assert "would open a request" in planned
    assert "created: the request was opened" in created
    (pull,) = desk.repo.pulls
    assert "xf2sdpa pr\nxf2sdpa rewrite .\n" in pull.body


def test_with_options_and_on_a_host_of_ones_own(desk: Desk) -> None:
    (told,) = desk.type(blocks("sh", "--draft"))
    assert "created" in told
    (pull,) = desk.repo.pulls
    assert (pull.draft, pull.labels, pull.reviewers) == (True, ["dependencies"], ["ada"])
    (told,) = desk.type(blocks("sh", "git.example.com"), GITHUB_SERVER_URL="", GITHUB_API_URL="")
    assert "the request" in told


def test_with_what_was_measured(desk: Desk) -> None:
    desk.type(blocks("sh", "--verify-report"))
    (pull,) = desk.repo.pulls
    assert "Old and new, run side by side" in pull.body
    assert ", torch " in pull.body


def test_on_github_actions(desk: Desk) -> None:
    workflow: dict[Any, Any] = yaml.safe_load(blocks("yaml", "runs-on"))
    assert workflow["permissions"] == {"contents": "write", "pull-requests": "write"}
    around = {"GITHUB_ACTIONS": "true", "GITHUB_TOKEN": ""}
    for step in workflow["jobs"]["xf2sdpa"]["steps"]:
        if "run" in step:
            given = {name: value.replace("${{ github.token }}", TOKEN) for name, value in step.get("env", {}).items()}
            assert "${{" not in step["run"]
            desk.type(step["run"], **{**around, **given})
    assert desk.repo.tip(BRANCH)
    assert len(desk.repo.pulls) == 1


def test_on_gitlab(desk: Desk) -> None:
    job: dict[Any, Any] = yaml.safe_load(blocks("yaml", "CI_PIPELINE_SOURCE"))
    around = {"CI_SERVER_URL": desk.host.base, "GITLAB_TOKEN": TOKEN, "GITHUB_TOKEN": "", "GITHUB_SERVER_URL": ""}
    for line in job["xf2sdpa"]["script"]:
        desk.type(line, **around)
    assert any(path.startswith("/api/v4/") for path in desk.host.asked("POST"))
    assert desk.repo.git("log", "-1", "--format=%an", BRANCH) == "xf2sdpa"


def test_many_repositories(desk: Desk) -> None:
    desk.around["PYTHONPATH"] = os.pathsep.join(desk.around["PYTHONPATH"].split(os.pathsep)[:-1])  # not the folder
    pytest.importorskip("all_repos")
    folder = desk.place / "examples" / "many_repositories"
    shutil.copytree(ROOT / "examples" / "many_repositories", folder)
    (folder / "repos.json").write_text(f'{{"{SLUG}": "{desk.host.base}/{SLUG}.git"}}')
    told = desk.type(blocks("sh", "all-repos"))
    assert "+    return torch.nn" in told[2]
    assert "created: the request was opened" in told[3]
    assert len(desk.repo.pulls) == 1


def test_every_block_is_tried() -> None:
    """Those that the tests above name by a word; the titles of blocks would be one more thing to keep."""
    source = Path(__file__).read_text("utf-8")
    words = [word.encode().decode("unicode_escape") for word in re.findall(r'blocks\("\w+", "(.*?)"\)', source)]
    assert [text for _, text in BLOCKS if not any(word in text for word in words)] == []


def test_every_option_is_described() -> None:
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    assert options - {"--output-format"} <= set(re.findall(r"--[a-z-]+", TEXT))
    described = set(re.findall(r"`(--[a-z-]+)", TEXT.partition("| option | |")[2].partition("\n\n")[0]))
    assert described <= options


@pytest.mark.parametrize("options", [[], ["--", "--jobs", "1"], ["--", "--only", "exact", "src"], ["--", "--", "src"]])
@pytest.mark.parametrize("table", ["", '[tool.xf2sdpa]\npaths = ["src"]\n'])
def test_the_lines_of_the_request_itself(desk: Desk, options: list[str], table: str) -> None:
    """What its text says for a person who wants to run it again, pasted into a working copy."""
    if table:
        commit(desk.repo, "main", {"pyproject.toml": table})
        desk.type("git pull -q")
    bot = Bot(desk.host)
    assert bot.run(SLUG, *options).said["operation"] == "created"
    (again, alone) = re.findall(r"^```sh\n(.*)\n(.*)\n```$", desk.repo.pulls[0].body, re.MULTILINE)[0]
    (told,) = desk.type(again)
    assert told.startswith("unchanged: "), told
    desk.type(alone)
    wanted = desk.repo.git("diff", "main", BRANCH)
    done = subprocess.run(["git", "diff"], cwd=desk.place, env=desk.around, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == wanted != ""
