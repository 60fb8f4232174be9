"""What may have happened to a repository since the last run, and while this one is under way."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bot.conftest import AUTHOR, ROOT, Bot
from tests.bot.host import TOKEN, Host
from tests.bot.repositories import CLEAN, Pull, Repo, commit
from tests.run.commands import COMPAT, EXACT, LEFT, PLAIN
from xf2sdpa.bot.model import BRANCH

SLUG = "owner/name"
FILES = {"src/model.py": EXACT, "plain.py": PLAIN}


def moved(repo: Repo, branch: str, parent: str, files: dict[str, str | bytes | None], message: str) -> str:
    """Force a branch onto a commit of its own on a parent."""
    repo.git("update-ref", f"refs/heads/{branch}", parent)
    return commit(repo, branch, files, message)


@pytest.mark.parametrize("filters", ["true", "false"])
def test_a_base_whose_history_was_rewritten(host: Host, bot: Bot, filters: str) -> None:
    """What was taken out of the base must not come back with the request."""
    repo = host.seed(SLUG, FILES)
    repo.git("config", "uploadpack.allowFilter", filters)
    first = repo.tip("main")
    commit(repo, "main", {"secret.txt": "a password\n"})
    bot.run(SLUG)
    assert "secret.txt" in repo.git("ls-tree", "--name-only", BRANCH)
    quoted = f"\n\nparent {repo.tip('main')}\n"
    moved(repo, "main", first, {"notes.txt": "no password\n"}, message=f"Without it{quoted}")
    told = bot.run(SLUG)
    assert told.said["operation"] == "updated"
    assert repo.git("rev-parse", f"{BRANCH}^") == repo.tip("main")
    assert "secret.txt" not in repo.git("ls-tree", "--name-only", BRANCH)


def test_a_base_that_was_set_back(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    first = repo.tip("main")
    commit(repo, "main", {"secret.txt": "a password\n"})
    bot.run(SLUG)
    repo.git("update-ref", "refs/heads/main", first)
    assert bot.run(SLUG).said["operation"] == "updated"
    assert repo.git("rev-parse", f"{BRANCH}^") == first


@pytest.mark.parametrize(("commits", "filters"), [(1, "true"), (2, "false"), (7, "true"), (7, "false")])
def test_a_base_that_went_on(host: Host, bot: Bot, commits: int, filters: str) -> None:
    """A request that says it all stays where it is, however far the base has gone on, by merges as well."""
    repo = host.seed(SLUG, FILES)
    repo.git("config", "uploadpack.allowFilter", filters)
    bot.run(SLUG)
    tip = repo.tip(BRANCH)
    for number in range(commits):
        commit(repo, "main", {f"notes{number}.txt": "x\n"})
    commit(repo, "side", {"side.txt": "x\n"})
    tree = repo.git("rev-parse", "main^{tree}")
    merge = repo.git("commit-tree", tree, "-p", "main", "-p", "side", "-m", "merge")
    repo.git("update-ref", "refs/heads/main", merge)
    assert bot.run(SLUG).said["operation"] == "unchanged"
    assert repo.tip(BRANCH) == tip


def test_links_lead_to_the_lines_that_the_text_speaks_of(host: Host, bot: Bot) -> None:
    """The branch may begin at an older commit, where a call that is left stands on another line."""
    repo = host.seed(SLUG, {**FILES, "left.py": LEFT})
    bot.run(SLUG)
    tip, pull = repo.tip(BRANCH), repo.pulls[0]
    assert f"/blob/{repo.tip('main')}/left.py#L5)" in pull.body
    commit(repo, "main", {"left.py": f"# One\n# line\n# more.\n{LEFT}"})
    assert bot.run(SLUG).said["operation"] == "updated"
    assert (repo.tip(BRANCH), pull.edits) == (tip, 1)
    assert f"/blob/{repo.tip('main')}/left.py#L8)" in pull.body
    assert pull.body.count("/blob/") == pull.body.count(f"/blob/{repo.tip('main')}/")
    commit(repo, "main", {"notes.txt": "x\n"})
    assert bot.run(SLUG).said["operation"] == "unchanged"
    assert pull.edits == 1, "another commit alone is no reason to change the text"


def test_a_merge_that_was_reverted_while_its_branch_remains(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    repo.pulls[0].state = "merged"
    repo.git("update-ref", "refs/heads/main", repo.tip(BRANCH))
    commit(repo, "main", {"src/model.py": EXACT}, message="Revert")
    told = bot.run(SLUG)
    assert (told.status, told.said["operation"], told.said["number"]) == (0, "created", 2), told.err
    assert repo.git("rev-parse", f"{BRANCH}^") == repo.tip("main")


def test_a_repository_that_names_its_objects_by_sha_256(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, {})
    shutil.rmtree(repo.path)
    options = ["--bare", "--object-format=sha256", "--initial-branch=main"]
    subprocess.run(["git", "init", "-q", *options, str(repo.path)], check=True, env=CLEAN)
    repo.git("config", "http.receivepack", "true")
    commit(repo, "main", {**FILES, "package/__init__.py": "", "package/compat.py": COMPAT})
    told = bot.run(SLUG)
    assert (told.status, told.said["operation"], len(told.said["commit"])) == (0, "created", 64), told.err
    for number in range(4):
        commit(repo, "main", {f"notes{number}.txt": "x\n"})
    assert bot.run(SLUG).said["operation"] == "unchanged"
    commit(repo, "main", {"src/more.py": EXACT})
    assert bot.run(SLUG).said["operation"] == "updated"
    names = repo.git("diff", "--name-only", "main", BRANCH).split()
    assert names == ["package/_attention_compat.py", "package/compat.py", "src/model.py", "src/more.py"]


def test_a_squash_whose_branch_remains(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    repo.pulls[0].state = "merged"
    tree = repo.git("rev-parse", f"{BRANCH}^{{tree}}")
    repo.git("update-ref", "refs/heads/main", repo.git("commit-tree", tree, "-p", "main", "-m", "squashed"))
    assert bot.run(SLUG).said["operation"] == "nothing to do"
    commit(repo, "main", {"src/more.py": EXACT})
    assert bot.run(SLUG).said["number"] == 2
    assert repo.git("diff", "--name-only", "main", BRANCH) == "src/more.py"


def test_a_button_that_merges_the_base_into_the_branch_makes_it_a_persons(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    commit(repo, "main", {"src/more.py": EXACT})
    tree = repo.git("rev-parse", f"{BRANCH}^{{tree}}")
    merge = repo.git("commit-tree", tree, "-p", BRANCH, "-p", "main", "-m", "Merge branch 'main'")
    repo.git("update-ref", f"refs/heads/{BRANCH}", merge)
    assert bot.run(SLUG).said["operation"] == "left alone"
    assert repo.tip(BRANCH) == merge


def test_a_branch_where_ours_would_be_a_folder(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    commit(repo, "xf2sdpa", FILES)
    told = bot.run(SLUG)
    assert told.status == 2
    assert f"{BRANCH} cannot be made: there is a branch xf2sdpa" in told.err
    assert "--branch" in told.err
    assert repo.pulls == []


def run_apart(host: Host, folder: Path, *words: str, **around: str) -> subprocess.CompletedProcess[str]:
    """`xf2sdpa pr` as a process of its own."""
    own = {**CLEAN, "PYTHONPATH": str(ROOT), "GITHUB_TOKEN": TOKEN, "HOME": str(folder), **around}
    command = [sys.executable, "-m", "xf2sdpa", "pr", "--api", f"{host.base}/api/v3", "--author", AUTHOR, *words]
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False, timeout=120)


def test_two_at_once_open_one_request(host: Host, bot: Bot, tmp_path: Path) -> None:
    repo = host.seed(SLUG, FILES)
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(run_apart, host, tmp_path, "--remote", f"{host.base}/{SLUG}.git") for _ in range(3)]
        done = [run.result() for run in runs]
    assert 0 in {one.returncode for one in done}
    for one in done:
        assert one.returncode in (0, 2), one.stderr
        assert one.returncode == 0 or f"{BRANCH} moved while this ran" in one.stderr
    assert len(repo.pulls) == 1
    assert bot.run(SLUG).said["operation"] == "unchanged"


@pytest.mark.parametrize("how", ["detached", "shallow", "dirty", "below", "worktree"])
def test_from_any_working_copy(host: Host, tmp_path: Path, how: str) -> None:
    """All that is read of it is the address of its remote."""
    repo = host.seed(SLUG, FILES)
    commit(repo, "main", {"more.txt": "x\n"})
    copy = tmp_path / "copy"
    depth = ["--depth=1"] if how == "shallow" else []
    subprocess.run(["git", "clone", "-q", *depth, f"{host.base}/{SLUG}.git", str(copy)], check=True, env=CLEAN)
    place = copy
    if how == "detached":
        subprocess.run(["git", "checkout", "-q", "HEAD^"], cwd=copy, check=True, env=CLEAN)
    elif how == "dirty":
        (copy / "src/model.py").write_text("not Python (\n")
        (copy / "new.py").write_text(EXACT)
        subprocess.run(["git", "add", "-A"], cwd=copy, check=True, env=CLEAN)
    elif how == "below":
        place = copy / "src"
    elif how == "worktree":
        place = tmp_path / "tree"
        subprocess.run(["git", "worktree", "add", "-q", str(place)], cwd=copy, check=True, env=CLEAN)
    before = {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()}
    done = run_apart(host, place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("created: ")
    assert repo.git("diff", "--name-only", "main", BRANCH) == "src/model.py"
    assert {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()} == before


OF_A_FORK = {
    "github": {"head": {"ref": BRANCH, "label": f"somebody:{BRANCH}", "repo": {"full_name": "somebody/name"}}},
    "gitlab": {"source_project_id": 7},
    "gitea": {"head": {"label": BRANCH, "ref": BRANCH, "repo_id": 7}},
}


@pytest.mark.parametrize("forge", ["github", "gitlab", "gitea"])
@pytest.mark.parametrize("state", ["open", "closed"])
def test_requests_of_forks_are_none_of_ours(
    host: Host, monkeypatch: pytest.MonkeyPatch, forge: str, state: str
) -> None:
    """From a branch of the same name: neither is theirs written to, nor does it keep ours away."""
    repo = host.seed(SLUG, FILES)
    repo.pulls.append(Pull(1, BRANCH, "next", "from a fork", "theirs", state=state))
    double = importlib.import_module(f"tests.bot.doubles.{forge}")
    real = double._pull

    def of_a_fork(at: Host, of: Repo, pull: Pull) -> dict[str, object]:
        return {**real(at, of, pull), **(OF_A_FORK[forge] if pull.number == 1 else {})}

    monkeypatch.setattr(double, "_pull", of_a_fork)
    told = Bot(host, forge).run(SLUG)
    assert (told.status, told.said["operation"], told.said["number"]) == (0, "created", 2), told.err
    assert repo.pulls[0].body == "theirs"


def test_a_request_that_goes_elsewhere(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, FILES)
    bot.run(SLUG)
    commit(repo, "next", FILES)
    tip, body = repo.tip(BRANCH), repo.pulls[0].body
    told = bot.run(SLUG, "--base", "next")
    assert told.status == 2
    assert f"request 1 from {BRANCH} goes to main, not to next" in told.err
    assert (repo.tip(BRANCH), repo.pulls[0].body, len(repo.pulls)) == (tip, body, 1)
