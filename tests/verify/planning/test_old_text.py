"""Where the text before the rewrite comes from."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.timing.samples import H200
from xf2sdpa.cli import cli
from xf2sdpa.files.listing import list_files
from xf2sdpa.settings import Settings
from xf2sdpa.verify.model import Report, Status
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


def rewrite(*options: str) -> dict[str, object]:
    result = CliRunner().invoke(cli, ["rewrite", ".", "--output-format", "json", "--torch", "2.1", *options])
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
def test_git_knows_the_text_before_a_rewrite_to_the_helper(project: Path) -> None:
    """Calls that could come back inline were rewritten all the same."""
    old = (project / "attention.py").read_text()
    commit()
    result = CliRunner().invoke(cli, ["rewrite", ".", "--style", "compat", "--torch", "2.1"])
    assert result.exit_code == 0, result.output
    texts = collected()
    assert texts.origin == "git, HEAD"
    assert texts.sources[Path("attention.py")].text == old
    assert sites(texts) == SITE


@needs_git
def test_a_revision_is_named_once_the_rewrite_is_committed(project: Path) -> None:
    commit()
    rewrite("--no-journal")
    commit("two")
    assert sites(collected()) == []
    assert sites(collected(rev="HEAD~1")) == SITE


@pytest.mark.parametrize("commits", [False, True])
def test_the_journal_of_undo_knows_the_text_before(project: Path, commits: bool) -> None:
    before = Path("attention.py").read_text()
    if commits:
        commit()
    rewrite()
    if commits:
        commit("two")
    texts = collected()
    assert (texts.origin, sites(texts)) == ("what `xf2sdpa undo` keeps", SITE)
    assert texts.sources[Path("attention.py")].text == before
    assert texts.rewritten[Path("attention.py")] == Path("attention.py").read_text()


def test_of_several_runs_the_first_counts_if_they_follow_on_one_another(project: Path) -> None:
    file = Path("attention.py")
    before = file.read_text()
    rewrite("--style", "compat")
    rewrite()
    assert collected().sources[file].text == before
    file.write_text(file.read_text() + "\n\nx = 1\n")
    assert collected().sources[file].text == before, "edits of a person's own are seen in what stands on disk"
    file.write_text(before)
    assert (collected().rewritten, collected().origin) == ({}, ""), "taken back by hand"


def test_a_run_that_was_taken_back_is_no_old_text(project: Path) -> None:
    rewrite()
    assert CliRunner().invoke(cli, ["undo"]).exit_code == 0
    assert collected().origin == ""


@needs_git
def test_a_change_of_the_users_own_is_no_rewrite(project: Path) -> None:
    commit()
    file = project / "attention.py"
    file.write_text(file.read_text().replace("self.heads = heads", "self.heads = heads or 1"))
    texts = collected()
    assert not texts.rewritten
    assert "heads or 1" in texts.sources[Path("attention.py")].text


MASKS = """\
from xformers.ops.fmha.attn_bias import LowerTriangularMask


def causal():
    return LowerTriangularMask()
"""
MODEL = """\
import xformers.ops as xops

from .masks import LowerTriangularMask, causal


def inline(x, h):
    B, T, C = x.shape
    q = x.view(B, T, h, C // h)
    return xops.memory_efficient_attention(q, q, q, attn_bias=LowerTriangularMask()).flatten(2)


def helped(q, k, v):
    return xops.memory_efficient_attention(q, k, v, attn_bias=causal())
"""
TRAIN = """\
import torch

from pkg.model import inline

if __name__ == "__main__":
    print(inline(torch.ones(1, 2, 8), 2))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Several files that the rewrite changes: one without a call, and one that only gets flags."""
    files = {"__init__.py": "", "masks.py": MASKS, "model.py": MODEL}
    (tmp_path / "pkg").mkdir()
    for name, text in files.items():
        (tmp_path / "pkg" / name).write_text(text)
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def old_tree(texts: OldTexts) -> dict[str, str]:
    return {path.as_posix(): texts.sources[path].text for path in texts.rewritten}


REWRITTEN = {"pkg/masks.py": MASKS, "pkg/model.py": MODEL, "train.py": TRAIN}


@needs_git
def test_the_whole_old_tree_is_planned_on(package: Path) -> None:
    """Classes as the rewrite gave them: a mask's class comes by way of another file, which the rewrite changed too."""
    commit()
    told = {s["id"]: s["class"] for row in rewrite()["files"] for s in row["sites"]}  # type: ignore[attr-defined]
    assert sorted(told.values()) == ["assumed", "compat"]
    (package / "report.json").write_text("{}")
    for rev in (None, "HEAD"):
        texts = collected(rev=rev)
        assert old_tree(texts) == REWRITTEN
        assert {site.report.id: site.report.kind for site in plan(texts, Settings()).sites} == told
        assert not plan(texts, Settings()).notes


@needs_git
def test_a_file_that_only_hands_on_is_of_the_old_tree_too(package: Path) -> None:
    """`shared.py` has no call, and no work as long as somebody takes `xops` from it."""
    (package / "pkg" / "shared.py").write_text("import xformers.ops as xops\n")
    user = package / "pkg" / "user.py"
    user.write_text("from .shared import xops\n\n\ndef f(q, k, v):\n")
    with user.open("a") as file:
        file.write("    b, n, h, d = q.shape\n    return xops.memory_efficient_attention(q, k, v)\n")
    commit()
    told = {s["id"]: s["class"] for row in rewrite()["files"] for s in row["sites"]}  # type: ignore[attr-defined]
    assert len(told) == 3
    texts = collected()
    assert {Path("pkg/shared.py"), Path("pkg/user.py")} < texts.rewritten.keys()
    assert {site.report.id: site.report.kind for site in plan(texts, Settings()).sites} == told


@needs_git
def test_a_persons_own_change_of_another_file_stays(package: Path) -> None:
    commit()
    rewrite()
    (package / "pkg" / "more.py").write_text(MODEL)
    commit("two")
    rewrite()
    train = package / "train.py"
    train.write_text(train.read_text().replace("2, 8", "3, 8"))
    texts = collected()
    assert old_tree(texts) == {"pkg/more.py": MODEL}
    assert collected(rev="HEAD~1").rewritten.keys() == {Path("pkg/masks.py"), Path("pkg/model.py")}


@needs_git
def test_files_without_a_call_alone_are_no_rewrite(package: Path) -> None:
    commit()
    (package / "pkg" / "masks.py").write_text("causal = LowerTriangularMask = None\n")
    assert not collected().rewritten


@needs_git
def test_a_site_that_differs_is_told_of_a_helper_that_was_edited(package: Path) -> None:
    commit()
    rewrite()
    found = plan(collected(), Settings())
    report = Report(H200, [dataclasses.replace(site.report, status=Status.DIFFERS) for site in found.sites])
    found.explain(report)
    assert [site.reason for site in report.sites] == ["", ""]
    helper = package / "pkg" / "_attention_compat.py"
    helper.write_text(helper.read_text().replace("import torch", "import torch  # mine", 1))
    plan(collected(), Settings()).explain(report)
    told = f"{Path('pkg/_attention_compat.py')}, which answers this call, is not as xf2sdpa wrote it: look there"
    assert {site.kind: site.reason for site in report.sites} == {"assumed": "", "compat": told}
    report.sites = [dataclasses.replace(site.report, status=Status.AGREES) for site in found.sites]
    plan(collected(), Settings()).explain(report)
    assert [site.reason for site in report.sites] == ["", ""]


def test_our_own_flags_are_no_change_of_a_persons(package: Path) -> None:
    report = rewrite()
    (package / "report.json").write_text(json.dumps(report))
    train = package / "train.py"
    assert "xf2sdpa: H200 flags" in train.read_text()
    texts = collected(before=Path("report.json"))
    assert old_tree(texts) == REWRITTEN
    assert not plan(texts, Settings()).notes
    train.write_text(train.read_text().replace('("high")', '("highest")'))
    (note,) = plan(collected(before=Path("report.json")), Settings()).notes
    assert note.startswith("train.py: the module: line")


def test_a_script_with_a_call_and_our_flags_is_shadowed(project: Path) -> None:
    call = "import torch, xformers.ops as xops\n\nq = torch.ones(1, 6, 2, 4, requires_grad=True)\n"
    (project / "script.py").write_text(f"{call}xops.memory_efficient_attention(q, q, q).sum().backward()\n")
    (project / "report.json").write_text(json.dumps(rewrite()))
    assert "xf2sdpa: H200 flags" in (project / "script.py").read_text()
    found = plan(collected(before=Path("report.json")), Settings())
    site = next(site for site in found.sites if site.report.path == "script.py")
    assert site.shadow is not None, site.report.reason
    assert not found.notes


@needs_git
@pytest.mark.parametrize(
    ("rev", "told", "advice"),
    [("nowhere", "no revision", "git log"), ("HEAD", "no file given differs", "--rev"), ("-x", "no revision", "--be")],
)
def test_a_revision_that_does_not_help_is_refused(project: Path, rev: str, told: str, advice: str) -> None:
    commit()
    with pytest.raises(OldTextError, match=told) as caught:
        collected(rev=rev)
    assert advice in caught.value.advice


def test_a_revision_without_git_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OldTextError, match="in no git repository") as caught:
        collected(rev="HEAD")
    assert "--before" in caught.value.advice
    (project / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OldTextError, match="git cannot be run"):
        collected(rev="HEAD")


@needs_git
def test_what_git_itself_says_is_told(project: Path) -> None:
    (project / ".git").write_text("gitdir: nowhere\n")
    with pytest.raises(OldTextError, match=r"git says in .*: fatal: "):
        collected(rev="HEAD")


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
    rewrite("--no-journal")
    result = CliRunner().invoke(cli, ["verify", "."])
    assert result.exit_code == 2
    assert "--rev" in result.output
    assert "--before" in result.output
