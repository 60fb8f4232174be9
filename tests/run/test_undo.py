"""`xf2sdpa undo`: a run goes back as a whole, what has changed since stays, a killed run leaves nothing half done."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result

from tests.run.commands import COMPAT, EXACT, EXACT_AFTER, LEFT, NO_CALL, PLAIN, call, rewrite, write
from xf2sdpa.files import journal
from xf2sdpa.files.journal import Change

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return write(folder, exact=EXACT, helped=COMPAT, plain=PLAIN, left=LEFT)


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def undo(*arguments: str) -> Result:
    return call("undo", *arguments)


def test_files_that_are_as_they_were_are_told(project: Path) -> None:
    before = held(project)
    rewrite(".")
    for name, data in before.items():
        (project / name).write_bytes(data)
    (project / "_attention_compat.py").unlink()
    told = undo()
    assert (told.exit_code, told.output.splitlines()[-1]) == (0, "nothing to do: every file is as it was before")


@pytest.mark.parametrize("git", [False, True])
def test_a_run_goes_back_as_a_whole(project: Path, git: bool) -> None:
    if git:
        subprocess.run(["git", "init", "-q"], check=True)
    (project / "crlf.py").write_bytes(EXACT.replace("\n", "\r\n").encode())
    (project / "exact.py").chmod(0o755)
    before = held(project)
    rewrite(".")
    assert "_attention_compat.py" in held(project)
    result = undo()
    assert result.exit_code == 0, result.output
    assert held(project) == before
    assert os.access(project / "exact.py", os.X_OK)
    assert "_attention_compat.py: deleted, as the run had made it" in result.output
    result = undo()
    assert (result.exit_code, "no run to take back" in result.output) == (2, True)


def test_runs_go_back_one_by_one(project: Path) -> None:
    states = [held(project)]
    for name in ("exact.py", "helped.py"):
        rewrite(name)
        states.append(held(project))
    (project / "more.py").write_text(COMPAT.replace("attend", "more"))
    states[-1] = held(project)
    rewrite(".")
    for state in reversed(states):
        assert undo().exit_code == 0
        expected = dict(state)
        if "_attention_compat.py" not in state:
            expected["more.py"] = (project / "more.py").read_bytes()
        assert held(project) == expected


def test_a_helper_that_a_run_deletes_or_updates_comes_back(project: Path) -> None:
    rewrite(".")
    helped = held(project)
    (project / "helped.py").write_text(PLAIN)
    (project / "exact.py").write_text(EXACT)
    rewrite(".")
    now = held(project)
    assert undo().exit_code == 0
    assert held(project)["_attention_compat.py"] == helped["_attention_compat.py"]
    assert now != held(project)


def test_a_file_that_has_changed_since_stays_and_so_does_what_it_needs(project: Path) -> None:
    rewrite(".")
    (project / "helped.py").open("a").write("# mine\n")
    kept = held(project)
    result = undo()
    assert result.exit_code == 1
    assert "helped.py: has changed since, and stays as it is" in result.output
    assert "_attention_compat.py: is needed by helped.py, and stays as it is" in result.output
    assert held(project) == {**kept, "exact.py": EXACT.encode()}
    (project / "helped.py").write_bytes(kept["helped.py"].removesuffix(b"# mine\n"))
    assert undo().exit_code == 0
    assert held(project).keys() == {"exact.py", "helped.py", "plain.py", "left.py"}
    assert held(project)["helped.py"] == COMPAT.encode()


def test_a_helper_that_another_file_imports_meanwhile_stays(project: Path) -> None:
    rewrite(".")
    (project / "mine.py").write_text("from _attention_compat import memory_efficient_attention\n")
    result = undo()
    assert result.exit_code == 1
    assert "_attention_compat.py: is needed by mine.py" in result.output
    assert (project / "helped.py").read_text() == COMPAT
    assert (project / "_attention_compat.py").exists()


def test_a_link_that_came_in_the_way_is_not_written_through(project: Path, tmp_path: Path) -> None:
    rewrite("exact.py")
    (tmp_path / "outside.py").write_text(EXACT_AFTER)
    (project / "exact.py").unlink()
    (project / "exact.py").symlink_to(tmp_path / "outside.py")
    assert undo().exit_code == 1
    assert (tmp_path / "outside.py").read_text() == EXACT_AFTER


def test_a_dry_run_and_a_run_forgotten(project: Path) -> None:
    before = held(project)
    rewrite("exact.py")
    rewrite("helped.py")
    after = held(project)
    result = undo("--dry-run")
    assert "Would take back" in result.output
    assert "helped.py: as it was" in result.output
    assert "_attention_compat.py: deleted" in result.output
    assert held(project) == after
    assert "Forgotten: the run of " in undo("--forget").output
    assert undo().exit_code == 0
    assert held(project) == {**after, "exact.py": before["exact.py"]}


@pytest.mark.parametrize("options", [["--check"], ["--diff"], ["--no-journal"], ["--show-files"]])
def test_what_writes_nothing_and_hooks_keep_no_journal(project: Path, options: list[str]) -> None:
    rewrite(*options, ".")
    assert "no run to take back" in undo().output
    rewrite("-", given=EXACT)
    assert "no run to take back" in undo().output


def test_the_hooks_keep_no_journal() -> None:
    entries = [line for line in (ROOT / ".pre-commit-hooks.yaml").read_text().splitlines() if "entry:" in line]
    assert entries
    assert all(" --no-journal" in entry for entry in entries)


def test_where_it_is_found(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "sub").mkdir()
    write(project / "sub", exact=EXACT)
    for given, place, argument in (
        ("sub", "sub", "."),
        (".", "sub", "."),
        ("sub/exact.py", "sub", "exact.py"),
        ("sub", "..", "."),
        (".", "..", "project"),
    ):
        (project / "sub" / "exact.py").write_text(EXACT)
        rewrite(given)
        monkeypatch.chdir(project / place)
        assert undo(argument).exit_code == 0, (given, place)
        assert (project / "sub" / "exact.py").read_text() == EXACT
        monkeypatch.chdir(project)


def test_several_below_are_not_guessed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (project / name).mkdir()
        rewrite(write(project / name, exact=EXACT))
    result = undo()
    assert result.exit_code == 2
    assert "several projects below" in result.output
    assert undo("two").exit_code == 0
    assert (project / "one" / "exact.py").read_text() == EXACT_AFTER


def test_without_a_place_for_it_the_run_goes_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(project / "plain.py"))
    result = rewrite("exact.py")
    assert result.exit_code == 0
    assert "`xf2sdpa undo` will not know this run" in result.output
    assert (project / "exact.py").read_text() == EXACT_AFTER


# -- uncommitted changes ------------------------------------------------------------------------------


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def test_changes_that_git_has_not_committed_are_noted(project: Path) -> None:
    git("init", "-q")
    git("add", "exact.py", "plain.py")
    git("commit", "-q", "-m", "as it was")
    (project / "plain.py").write_text(PLAIN + "# mine, and not edited by the run\n")
    told = "file with changes of yours that git has not committed: helped.py."
    assert f"1 {told}" in rewrite("--check", ".").output
    (project / "exact.py").write_text(EXACT + "# mine\n")
    read = json.loads(rewrite("--check", "--output-format", "json", ".").stdout)
    assert read["uncommitted"] == ["exact.py", "helped.py"]
    assert "committed" not in rewrite("--check", "--no-journal", ".").output, "a hook's files are always staged"
    assert "`xf2sdpa undo` takes back this run alone" in rewrite(".").output
    assert undo().exit_code == 0
    assert (project / "exact.py").read_text() == EXACT + "# mine\n"


def test_outside_git_nothing_is_noted(project: Path) -> None:
    assert "committed" not in rewrite(".").output


# -- runs that were killed ----------------------------------------------------------------------------


def break_off(project: Path, *, written: bool) -> None:
    journal.begin(project, [Change(project / "exact.py", EXACT.encode(), EXACT_AFTER.encode())])
    if written:
        (project / "exact.py").write_text(EXACT_AFTER)


def test_the_next_run_says_once_what_a_killed_one_left(project: Path) -> None:
    break_off(project, written=True)
    result = rewrite("plain.py")
    assert "was broken off: 1 of 1 files were written, 0 are as before, 0 have changed since" in result.output
    assert NO_CALL in result.output
    assert "broken off" not in rewrite("plain.py").output
    assert undo().exit_code == 0
    assert (project / "exact.py").read_text() == EXACT


def test_the_short_way_out_leaves_it_to_the_long_one(project: Path) -> None:
    command = [sys.executable, "-m", "xf2sdpa", "rewrite", "plain.py"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for said in (True, False):
        if said:
            break_off(project, written=False)
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        assert ("was broken off: 0 of 1 files were written" in done.stderr) == said
        assert done.stdout.startswith(NO_CALL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that it forks")
def test_runs_killed_at_random_moments(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", os.environ["XDG_STATE_HOME"])  # the script sets its own
    spec = importlib.util.spec_from_file_location("killed_runs", ROOT / "benchmarks" / "killed_runs.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.main(moments=5, files=60, whole=2, seed=1) == 0, capsys.readouterr().out
    assert script.torn({"a": b"half"}, {"a": b"old"}, {"a": b"new"}) == ["a"], "it sees what is neither"
    assert script.torn({}, {"a": b"old"}, {"a": b"new"}) == ["a"]
