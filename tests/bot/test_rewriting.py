"""What may follow `--`, and what the rewrite says of a repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bot.conftest import Bot
from tests.bot.host import Host
from tests.run.commands import ASSUMED, EXACT
from xf2sdpa.bot.model import BRANCH

SLUG = "owner/name"


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
