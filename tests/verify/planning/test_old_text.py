"""Where the text before the rewrite comes from."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from xf2sdpa.cli import cli
from xf2sdpa.discover import list_files
from xf2sdpa.settings import Settings
from xf2sdpa.verify.planning.old_text import OldTextError, OldTexts, collect
from xf2sdpa.verify.planning.sites import plan

EXAMPLE = Path(__file__).parents[3] / "examples" / "attention.py"
OTHER = "import torch\n\n\ndef f(x):\n    return x\n"
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(EXAMPLE, tmp_path / "attention.py")
    (tmp_path / "other.py").write_text(OTHER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def commit(message: str = "one") -> None:
    if not Path(".git").exists():
        git("init", "-q")
    git("add", ".")
    git("commit", "-qm", message)


def rewrite() -> dict[str, object]:
    result = CliRunner().invoke(cli, ["rewrite", ".", "--output-format", "json", "--torch", "2.1"])
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def collected(before: Path | None = None, rev: str | None = None) -> OldTexts:
    return collect(list_files(["."]), before, rev)


def sites(texts: OldTexts) -> list[str]:
    return [site.report.id for site in plan(texts, Settings()).sites]


SITE = ["attention.py::SelfAttention.forward#0"]


def test_a_tree_that_calls_xformers_is_its_own_old_text(project: Path) -> None:
    texts = collected()
    assert not texts.rewritten
    assert sites(texts) == SITE


@needs_git
def test_git_knows_the_text_before(project: Path) -> None:
    old = (project / "attention.py").read_text()
    commit()
    rewrite()
    texts = collected()
    assert texts.origin == "git, HEAD"
    assert texts.sources[Path("attention.py")].text == old
    assert "xformers" not in texts.rewritten[Path("attention.py")].partition('"""')[2].partition('"""')[2]
    assert sites(texts) == SITE


@needs_git
def test_a_revision_is_named_once_the_rewrite_is_committed(project: Path) -> None:
    commit()
    rewrite()
    commit("two")
    assert sites(collected()) == []
    assert sites(collected(rev="HEAD~1")) == SITE


@needs_git
def test_a_change_of_the_users_own_is_no_rewrite(project: Path) -> None:
    commit()
    file = project / "attention.py"
    file.write_text(file.read_text().replace("self.heads = heads", "self.heads = heads or 1"))
    texts = collected()
    assert not texts.rewritten
    assert "heads or 1" in texts.sources[Path("attention.py")].text


@needs_git
@pytest.mark.parametrize(("rev", "told"), [("nowhere", "no revision"), ("HEAD", "no file given differs")])
def test_a_revision_that_does_not_help_is_refused(project: Path, rev: str, told: str) -> None:
    commit()
    with pytest.raises(OldTextError, match=told):
        collected(rev=rev)


def test_the_report_of_the_rewrite_holds_the_text_before(project: Path) -> None:
    old = (project / "attention.py").read_text()
    (project / "report.json").write_text(json.dumps(rewrite()))
    texts = collected(before=Path("report.json"))
    assert texts.sources[Path("attention.py")].text == old
    assert sites(texts) == SITE


def test_a_report_without_old_texts_is_refused(project: Path) -> None:
    report = rewrite()
    for row in report["files"]:  # type: ignore[attr-defined]
        row.pop("old", None)
    (project / "report.json").write_text(json.dumps(report))
    with pytest.raises(OldTextError, match="does not hold the old text"):
        collected(before=Path("report.json"))


@pytest.mark.parametrize("text", ["[]", "no json", '{"files": []}'])
def test_another_file_than_a_report_is_refused(project: Path, text: str) -> None:
    (project / "report.json").write_text(text)
    with pytest.raises(OldTextError):
        collected(before=Path("report.json"))


def test_without_any_of_them_verify_refuses(project: Path) -> None:
    rewrite()
    result = CliRunner().invoke(cli, ["verify", "."])
    assert result.exit_code == 2
    assert "--rev" in result.output
    assert "--before" in result.output
