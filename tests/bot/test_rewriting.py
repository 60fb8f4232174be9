"""What may follow `--`, and what the rewrite says of a repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bot.conftest import Bot
from tests.bot.host import Host
from tests.run.commands import ASSUMED, BROKEN, COMPAT, EXACT, LEFT
from xf2sdpa.bot.model import BRANCH

SLUG = "owner/name"
PROGRAM = EXACT + '\n\nif __name__ == "__main__":\n    attend(1)\n'
SOURCES = {"__init__": "", "a": EXACT, "b": PROGRAM, "c": COMPAT, "left": LEFT, "broken": BROKEN}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--check"], "--check is not for a pull request"),
        (["--diff", "src"], "--diff is not for a pull request"),
        (["--output-format", "text"], "--output-format is not for a pull request"),
        (["--output-file", "/tmp/x"], "--output-file is not for a pull request"),
        (["--show-files"], "--show-files is not for a pull request"),
        (["-"], "- is not below the top of the repository"),
        (["/etc"], "/etc is not below the top of the repository"),
        (["src/../../x"], "src/../../x is not below the top of the repository"),
        (["--no-such-option"], "No such option"),
        (["--jobs", "none"], "--jobs"),
    ],
)
def test_what_is_not_for_a_request_is_refused_at_once(host: Host, bot: Bot, arguments: list[str], why: str) -> None:
    told = bot.run(SLUG, "--", *arguments)
    assert told.status == 2
    assert why in told.err
    assert host.log == []


def test_options_and_paths_reach_the_rewrite(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, {"src/a.py": EXACT, "src/b.py": ASSUMED, "other.py": EXACT})
    assert bot.run(SLUG, "--", "--only", "exact", "src").status == 0
    assert repo.git("diff", "--name-only", "main", BRANCH) == "src/a.py"
    assert "-- --only exact src\nxf2sdpa rewrite --only exact src\n" in repo.pulls[0].body


def test_the_paths_of_a_configuration_are_kept(host: Host, bot: Bot) -> None:
    table = '[tool.xf2sdpa]\npaths = ["src"]\nexclude = ["b.py"]\n'
    repo = host.seed(SLUG, {"src/a.py": EXACT, "src/b.py": EXACT, "other.py": EXACT, "pyproject.toml": table})
    assert bot.run(SLUG).status == 0
    assert repo.git("diff", "--name-only", "main", BRANCH) == "src/a.py"


def test_a_path_that_is_not_there(host: Host, bot: Bot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here_only.py").write_text(EXACT)
    repo = host.seed(SLUG, {"a.py": EXACT})
    told = bot.run(SLUG, "--", "here_only.py")
    assert (told.status, repo.pulls) == (2, [])
    assert "here_only.py: does not exist" in told.err
    assert Path.cwd() == tmp_path


def test_the_folder_of_the_run_is_nowhere(host: Host, bot: Bot) -> None:
    """By configured paths too, with all that a text may name: a helper module, requirement files, what is left."""
    table = '[tool.xf2sdpa]\npaths = ["src", "demo.ipynb"]\n'
    cell = {"cell_type": "code", "metadata": {}, "source": EXACT, "outputs": [], "execution_count": None}
    notebook = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}, indent=1)
    files: dict[str, str | bytes] = {f"src/{name}.py": text for name, text in SOURCES.items()}
    files |= {"pyproject.toml": table, "requirements.txt": "torch>=1.13\nxformers\n", "demo.ipynb": notebook}
    files |= {"Dockerfile": "RUN pip install xformers", "other.py": EXACT}
    repo = host.seed(SLUG, files)
    told = bot.run(SLUG)
    assert told.status == 0, told.err
    changed = repo.git("diff", "--name-only", "main", BRANCH).split("\n")
    assert set(changed) == {"src/_attention_compat.py", "src/a.py", "src/b.py", "src/c.py", "demo.ipynb"}
    assert "/xf2sdpa-" not in repo.pulls[0].body
    assert "/xf2sdpa-" not in repo.git("diff", "main", BRANCH)
    assert bot.run(SLUG).said["operation"] == "unchanged"
