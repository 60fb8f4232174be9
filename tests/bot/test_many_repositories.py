"""The examples for many repositories: by all-repos for real, over ten bare repositories."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bot.conftest import Bot, environment
from tests.bot.host import TOKEN, Host
from tests.bot.repositories import CLEAN, commit
from tests.run.commands import ASSUMED, COMPAT, EXACT, LEFT, PLAIN
from xf2sdpa.bot.model import BRANCH

EXAMPLES = Path(__file__).parents[2] / "examples" / "many_repositories"
ROOT = Path(__file__).parents[2]
CONTENTS = {
    **{f"owner/exact{number}": {"model.py": EXACT, "requirements.txt": "xformers\n"} for number in range(4)},
    "owner/assumed": {"model.py": ASSUMED},
    "owner/compat": {"package/__init__.py": "", "package/model.py": COMPAT},
    "owner/nothing": {"plain.py": PLAIN},
    "owner/left": {"model.py": LEFT},
    "owner/fails": {"model.py": EXACT},
    "owner/open": {"model.py": EXACT},
}


def test_all_repos(host: Host, bot: Bot, tmp_path: Path, path: str) -> None:
    pytest.importorskip("all_repos")
    for slug, files in CONTENTS.items():
        host.seed(slug, files)
    bot.run("owner/open")
    hook = host.repos["owner/fails"].path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'error: GH006: Protected branch update failed' >&2\nexit 1\n")
    hook.chmod(0o755)

    folder = tmp_path / "many"
    shutil.copytree(EXAMPLES, folder)
    config = json.loads((folder / "all-repos.json").read_text())
    config["push_settings"]["options"] += ["--api", f"{host.base}/api/v3", "--author", "A Bot <bot@example.com>"]
    (folder / "all-repos.json").write_text(json.dumps(config))
    (folder / "all-repos.json").chmod(0o600)
    (folder / "repos.json").write_text(json.dumps({slug: f"{host.base}/{slug}.git" for slug in CONTENTS}))
    around = environment(path, folder)

    def run(*words: str) -> str:
        words = (sys.executable, *words, "--config-filename", "all-repos.json", "--jobs", "2")
        done = subprocess.run(words, cwd=folder, env=around, capture_output=True, text=True, check=True)
        assert TOKEN not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def opened() -> dict[str, int]:
        return {slug: len(repo.pulls) for slug, repo in host.repos.items()}

    before = opened()
    assert sum(before.values()) == 1
    run("-m", "all_repos.clone")
    told = run("xf2sdpa_all_repos.py")
    expected = dict.fromkeys(CONTENTS, 1) | dict.fromkeys(["owner/nothing", "owner/left", "owner/fails"], 0)
    assert opened() == expected, told
    assert told.count("***Errored") == 1
    assert f"{BRANCH} is protected" in told
    first = host.repos["owner/exact0"].pulls[0]
    assert (first.draft, first.labels) == (True, ["dependencies"])
    assert "### Run again, undo, ignore" in first.body
    added = host.repos["owner/compat"].git("diff", "--name-status", "main", BRANCH)
    assert "A\tpackage/_attention_compat.py" in added, "what is new is a part of it"
    assert "all-repos" not in host.repos["owner/exact0"].git("log", "-1", "--format=%B", BRANCH)

    tips = {slug: repo.tip(BRANCH) for slug, repo in host.repos.items()}
    host.repos["owner/exact1"].pulls[0].state = "closed"
    commit(host.repos["owner/exact2"], "main", {"more.py": EXACT})
    run("-m", "all_repos.clone")
    told = run("xf2sdpa_all_repos.py")
    assert opened() == expected, "a second run opens nothing new"
    moved = {slug for slug, repo in host.repos.items() if repo.tip(BRANCH) != tips[slug]}
    assert moved == {"owner/exact2"}
    assert "declined: request 1 was closed" in told


def test_multi_gitter(host: Host, tmp_path: Path, path: str) -> None:
    """What multi-gitter's `print` does: the script, in a clone of each repository.

    The clone has one commit, and the token in its remote's address; `REPOSITORY` names it.
    """
    around = environment(path, tmp_path)
    for slug, runs in (("owner/exact0", (["--dry-run"], [], [])), ("owner/nothing", ([],))):
        host.seed(slug, CONTENTS[slug])
        clone = tmp_path / slug.partition("/")[2]
        address = f"{host.base.replace('//', f'//oauth2:{TOKEN}@')}/{slug}.git"
        subprocess.run(["git", "clone", "-q", "--depth=1", address, str(clone)], check=True, env=CLEAN)
        words = ["--api", f"{host.base}/api/v3", "--author", "A Bot <bot@example.com>"]
        told = []
        for options in runs:
            done = subprocess.run(
                [EXAMPLES / "multi_gitter.sh", *words, *options],
                cwd=clone, env={**around, "REPOSITORY": slug}, capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert len(host.repos[slug].pulls) == (slug != "owner/nothing" and not options)
            assert TOKEN not in done.stdout + done.stderr
            told.append(done.stdout.partition(":")[0])
        assert told[1:] == ["created", "unchanged"] if slug != "owner/nothing" else told == ["nothing to do"]
        assert not any(TOKEN in pull.body for pull in host.repos[slug].pulls)
        status = subprocess.run(["git", "status", "--short"], cwd=clone, env=around, capture_output=True, check=True)
        assert status.stdout == b"", "multi-gitter itself finds nothing to commit"
