"""Every format against its published form, and what its reader relies on: limits, positions, fixes that fit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest
from lxml import etree

from tests.cases import all_cases
from tests.report.forms import ALL, checked
from tests.run.commands import BROKEN, EXACT, EXACT_AFTER, LEFT, rewrite, write
from xf2sdpa.report import sarif
from xf2sdpa.report.changes import hunks, split_lines, widened

TWO_HUNKS = EXACT.replace("import torch\n", "import torch\n\nNAME = 'ä𐐀'\n")
WIDE = """\
import torch
import xformers.ops as xops


def f(x, b, n, h):
    q, k, v = torch.relu(x).view(b, n, 3, h, -1).unbind(2)
    é = 'ä𐐀'; y = xops.memory_efficient_attention(q, k, v)
    return é, y
"""
HOSTILE = "::error file=a,b%0A::\x1b[31m|`<img src=x>`@someone #1.py"


def report(name: str, *arguments: str | Path, given: str | None = None) -> Any:
    return checked(name, rewrite("--output-format", name, *arguments, given=given).stdout)


@pytest.mark.parametrize("name", ["sarif", "gitlab", "rdjson", "junit"])
@pytest.mark.parametrize("options", [("--check",), (), ("--check", "--no-helper", "--flags", "off"), ("--diff", "-v")])
def test_every_report_has_its_form(folder: Path, name: str, options: tuple[str, ...]) -> None:
    assert len(report(name, *options, "."))
    assert len(report(name, "--check", "plain.py")) == (
        0 if name == "gitlab" else len(report(name, "--check", "plain.py"))
    )


@pytest.mark.parametrize("name", ["sarif", "gitlab", "rdjson", "junit"])
def test_standard_input_has_its_form(name: str) -> None:
    assert len(report(name, "--check", "-", given=EXACT))


def test_a_form_that_is_not_kept_is_seen(folder: Path) -> None:
    for name in ("sarif", "gitlab", "rdjson"):
        text = rewrite("--check", "--output-format", name, ".").stdout
        for key in ("message", "description"):
            if f'"{key}"' in text:
                text = text.replace(f'"{key}"', '"massage"')
                break
        with pytest.raises(jsonschema.ValidationError):
            checked(name, text)
    with pytest.raises(etree.DocumentInvalid):
        checked("junit", rewrite("--check", "--output-format", "junit", ".").stdout.replace("classname", "klass"))


# -- fixes: applied as the format says, they are the rewrite ------------------------------------------


def sarif_fixed(result: dict[str, Any], old: str) -> str:
    """What section 3.57 says: every region is about the old text; from the end, so that none moves another."""
    (fix,) = result["fixes"]
    (change,) = fix["artifactChanges"]
    lines = old.replace("\r\n", "\n").split("\n")
    starts = [0]
    for line in old.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    assert len(lines) == len(starts) - 1
    text = old
    for replacement in reversed(change["replacements"]):
        region = replacement["deletedRegion"]
        start = starts[region["startLine"] - 1] + region["startColumn"] - 1
        end = starts[region["endLine"] - 1] + region["endColumn"] - 1
        text = text[:start] + replacement.get("insertedContent", {"text": ""})["text"] + text[end:]
    return text


def rdjson_fixed(diagnostics: list[dict[str, Any]], old: str) -> str:
    """What reviewers see: whole lines replaced by the suggestion and a line end, from the last to the first."""
    lines = old.split("\n")
    found = [s for d in diagnostics for s in d.get("suggestions", ())]
    for d in diagnostics:
        assert all(s["range"] == d["location"]["range"] for s in d.get("suggestions", ())), "reviewdog shows no other"
    for suggestion in sorted(found, key=lambda s: -s["range"]["start"]["line"]):
        first, last = suggestion["range"]["start"]["line"], suggestion["range"]["end"]["line"]
        ends = "\r" if lines[last - 1].endswith("\r") else ""
        lines[first - 1 : last] = (suggestion["text"] + ends).split("\n")
    return "\n".join(lines)


CASES = [case for case in all_cases() if case.changes and not case.settings and "\r" not in case.old]


@pytest.mark.parametrize("case", CASES[:: len(CASES) // 16], ids=lambda case: case.path.stem)
@pytest.mark.parametrize("crlf", [False, True])
def test_fixes_are_the_rewrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Any, crlf: bool) -> None:
    monkeypatch.chdir(tmp_path)
    old = case.old.replace("\n", "\r\n") if crlf else case.old
    file = tmp_path / "model.py"
    file.write_bytes(old.encode())
    log = report("sarif", "--check", "--flags", "off", "--jobs", "1", "model.py")
    diagnostics = report("rdjson", "--check", "--flags", "off", "--jobs", "1", "model.py")["diagnostics"]
    helped = bool(
        json.loads(rewrite("--check", "--output-format", "json", "--jobs", "1", "model.py").stdout)["helpers"]
    )
    fixes = [result for result in log["runs"][0]["results"] if "fixes" in result]
    rewrite("--flags", "off", "--jobs", "1", "model.py")
    new = file.read_bytes().decode()
    assert new != old
    if helped:  # a fix that imports what is not there is none
        assert not fixes
        assert not any("suggestions" in d for d in diagnostics)
        return
    assert sarif_fixed(fixes[0], old) == new
    assert len(fixes) == 1
    assert rdjson_fixed(diagnostics, old) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a\nb\nc\n", "a\nc\n"),
        ("a\nb\n", "b\n"),
        ("a\nb\n", "x\na\nb\n"),
        ("a\nb\nc\nd\n", "b\nx\nc\ny\nd\n"),
        ("a\nb", "a\nc"),
        ("a\nb", "a\nx\nb"),
        ("a\x0cb\u2028c\nd\n", "a\x0cb\u2028c\ne\n"),
        ("a\n", "b\na\nc\n"),
        ("x\n\ny\n\nz\n", "\ny\n\n"),
    ],
)
def test_widened_changes_replace_lines_by_lines(old: str, new: str) -> None:
    wide = widened(hunks(old, new), old)
    assert all(hunk.text and hunk.first <= hunk.last for hunk in wide)
    lines = split_lines(old)
    for hunk in reversed(wide):
        lines[hunk.first - 1 : hunk.last] = [hunk.text]
    assert "".join(lines) == new


def test_lines_that_nobody_counts_alike_get_no_fix() -> None:
    assert hunks("a\rb\n", "a\rc\n") == []


def test_a_fix_that_others_go_with_says_so(folder: Path) -> None:
    results = report("sarif", "--check", ".")["runs"][0]["results"]
    said = {r["fixes"][0]["description"]["text"] for r in results if "fixes" in r}
    assert said == {
        "The whole rewrite of this file. The run changes 3 files, which may depend on one another: apply all."
    }
    (folder / "two.py").write_text(TWO_HUNKS)
    messages = [d["message"] for d in report("rdjson", "--check", "two.py")["diagnostics"] if "suggestions" in d]
    assert len(messages) == 2
    assert all("One of 2 suggestions for this file that belong together" in message for message in messages)


# -- positions ----------------------------------------------------------------------------------------


def test_columns_are_those_of_each_format(folder: Path) -> None:
    (folder / "wide.py").write_text(WIDE)
    start = WIDE.splitlines()[6].index("xops.") + 1
    end = start + len("xops.memory_efficient_attention(q, k, v)")
    (found,) = [r for r in report("sarif", "--check", "wide.py")["runs"][0]["results"] if r["ruleId"] < "XF120"]
    region = found["locations"][0]["physicalLocation"]["region"]
    assert (region["startLine"], region["startColumn"], region["endColumn"]) == (7, start, end)
    (folder / "wide.py").write_text(WIDE.replace("memory_efficient_attention(", "memory_efficient_attention_partial("))
    (told,) = [d for d in report("rdjson", "--check", "wide.py")["diagnostics"] if d["code"]["value"] == "XF208"]
    end += len("_partial")
    wanted = {"start": {"line": 7, "column": start + 2 + 3}, "end": {"line": 7, "column": end + 2 + 3}}
    assert told["location"]["range"] == wanted, "é and ä are two bytes, 𐐀 is four"


def test_what_is_left_after_writing_stands_where_it_stands(folder: Path) -> None:
    both = EXACT + "\n\n" + LEFT.replace("attend", "partly")
    (folder / "both.py").write_text(both)
    (told,) = [r for r in report("sarif", "both.py")["runs"][0]["results"] if r["level"] == "warning"]
    line = told["locations"][0]["physicalLocation"]["region"]["startLine"]
    assert "memory_efficient_attention_partial(q, k, v)" in (folder / "both.py").read_text().splitlines()[line - 1]
    assert line != both[: both.index("memory_efficient_attention_partial(q")].count("\n") + 1, "lines have moved"


def test_names_are_below_the_top_of_the_work_tree(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    (folder / "sub dir").mkdir()
    (folder / "sub dir" / "m.py").write_text(EXACT)
    monkeypatch.chdir(folder / "sub dir")
    for given in ("m.py", folder / "sub dir" / "m.py"):
        place = report("sarif", "--check", given)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
        assert place["artifactLocation"] == {"uri": "sub%20dir/m.py", "uriBaseId": "%SRCROOT%"}
        assert report("gitlab", "--check", given)[0]["location"]["path"] == "sub dir/m.py"
        assert "file=sub dir/m.py," in rewrite("--check", "--output-format", "github", given).stdout


# -- what a service keeps by ---------------------------------------------------------------------------


def test_fingerprints_stay_and_are_one_each(folder: Path) -> None:
    (folder / "twice.py").write_text(EXACT.replace("return ", "a = ") + "    return a\n\n\n" + EXACT)
    before = report("gitlab", "--check", ".")
    for file in folder.glob("*.py"):
        if file.name != "broken.py":
            file.write_text(f"# a line more\n{file.read_text()}")
    after = report("gitlab", "--check", ".")
    told = [problem["fingerprint"] for problem in before]
    assert told == [problem["fingerprint"] for problem in after]
    assert len(set(told)) == len(told) > 5


def test_what_was_solved_is_no_problem_any_more(folder: Path) -> None:
    for name in ("gitlab", "sarif", "rdjson", "github"):
        write(folder, **ALL)
        text = rewrite("--output-format", name, ".").stdout
        assert "left.py" in text, name
        assert "broken.py" in text, name
        assert "exact.py" not in text, name


def test_levels(folder: Path) -> None:
    told = report("gitlab", "--check", "--flags", "off", ".")
    found = {(Path(p["location"]["path"]).stem, p["check_name"]): p["severity"] for p in told}
    assert found["broken", "XF901"] == "critical"
    assert found["exact", "XF101"] == "minor"
    assert found["left", "XF208"] == "minor"
    (folder / "exact.py").write_text(EXACT.replace(".reshape(b, n, -1)", "  # xf2sdpa: ignore"))
    assert {p["severity"] for p in report("gitlab", "--check", "exact.py")} == {"info"}, "somebody asked to leave it"


def test_no_more_results_than_code_scanning_takes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = report("sarif", "--check", ".")["runs"]
    assert "invocations" not in whole
    assert len(whole["results"]) > 3
    monkeypatch.setattr(sarif, "MOST", 2)
    (run,) = report("sarif", "--check", ".")["runs"]
    assert [result["ruleId"] for result in run["results"]] == [r["ruleId"] for r in whole["results"][:2]]
    assert run["results"][0]["level"] == "error", "the worst first"
    (told,) = run["invocations"][0]["toolExecutionNotifications"]
    assert f"{len(whole['results']) - 2} more results" in told["message"]["text"]
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {result["ruleId"] for result in run["results"]}


def test_junit_counts(folder: Path) -> None:
    suites = report("junit", "--check", "--flags", "off", ".")
    assert suites.get("errors") == "1" == str(len(suites.findall(".//error")))
    assert int(suites.get("failures")) == len(suites.findall(".//failure")) >= 3
    assert int(suites.get("tests")) == len(suites.findall(".//testcase"))
    assert [case.get("name") for case in report("junit", "--check", "plain.py").iter("testcase")] == [
        "no call of xformers' attention"
    ]


# -- GitHub's workflow commands -------------------------------------------------------------------------


def annotations(*arguments: str | Path) -> list[str]:
    return rewrite("--output-format", "github", *arguments).stdout.splitlines()


def test_an_annotation(folder: Path) -> None:
    (line,) = [line for line in annotations("--check", "--flags", "off", "exact.py") if "XF101" in line]
    assert line.startswith(
        "::warning title=xf2sdpa (XF101),file=exact.py,line=7,col=12,endLine=7,endColumn=52::exact.py:7:12: XF101 exact"
    )
    (broken,) = annotations("--check", "broken.py")
    assert broken.startswith("::error title=xf2sdpa (XF901),file=broken.py,line=3")
    assert "%0A" in broken, "advice is a second line"


@pytest.mark.parametrize("number", [9, 10, 11, 40])
def test_no_more_annotations_of_a_type_than_a_step_shows(folder: Path, number: int) -> None:
    calls = "\n\n".join(LEFT.replace("attend", f"attend{index}") for index in range(number))
    (folder / "left.py").write_text(calls)
    lines = annotations("--check", "left.py")
    commands = [line for line in lines if line.startswith("::warning ")]
    assert len(commands) == min(number, 10)
    assert sum("left.py:" in line and "XF208" in line for line in lines) == number, "none is lost"
    assert any(f"{number - 9} more like these" in line for line in commands) == (number > 10)


# -- Markdown -------------------------------------------------------------------------------------------


def test_markdown(folder: Path) -> None:
    text = rewrite("--check", "--output-format", "markdown", "--flags", "off", ".").stdout
    assert text.startswith("### xf2sdpa\n\n4 call sites: 1 exact, 1 assumed, 1 compat, 1 left. 6 files looked at. ")
    assert "| <code>left.py:5</code> | <code>attend</code> | left | XF208 |" in text
    assert text.index("Could not be worked on") < text.index("Left to a person") < text.index("Would be rewritten")
    assert (
        "No call of xformers' attention. 1 file looked at." in rewrite("--output-format", "markdown", "plain.py").stdout
    )


def test_markdown_is_limited_and_says_so(folder: Path) -> None:
    calls = "\n\n".join(LEFT.replace("attend", f"attend{index}") for index in range(900))
    (folder / "left.py").write_text(calls)
    text = rewrite("--check", "--output-format", "markdown", "left.py").stdout
    assert len(text) <= 60_000
    assert "900 call sites" in text
    assert "Not shown here, for the length: " in text


# -- a diff ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", [["git", "apply"], ["patch", "-p1", "-s", "-i"]])
def test_a_diff_is_applied_by_others(folder: Path, tool: list[str]) -> None:
    (folder / "feed.py").write_bytes(f"x = 1\x0c\ny = '\u2028'\n{EXACT}".encode())
    (folder / "crlf.py").write_bytes(EXACT.replace("\n", "\r\n").encode())
    (folder / "bare.py").write_text(EXACT.rstrip("\n"))
    result = rewrite("--check", "--output-format", "diff", "--output-file", "all.diff", ".")
    assert result.exit_code == 2, "one is broken"
    subprocess.run([*tool, "all.diff"], check=True)
    (folder / "all.diff").unlink()
    applied = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert applied["exact.py"] == EXACT_AFTER.encode()
    for name, text in {**{f"{k}.py": v for k, v in ALL.items()}, "bare.py": EXACT.rstrip("\n")}.items():
        (folder / name).write_text(text)
    (folder / "feed.py").write_bytes(f"x = 1\x0c\ny = '\u2028'\n{EXACT}".encode())
    (folder / "crlf.py").write_bytes(EXACT.replace("\n", "\r\n").encode())
    (folder / "_attention_compat.py").unlink()
    rewrite(".")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == applied


def test_configured_paths_are_told_as_seen_from_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those that are typed are: a diff with names from the root of the disk is of no use to anybody."""
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / "src" / "m.py").write_text(EXACT)
    (folder / "pyproject.toml").write_text('[tool.xf2sdpa]\npaths = ["src"]\n')
    for place, seen in ((folder, "src/m.py"), (folder / "src", "m.py"), (folder / "src" / "deep", "../m.py")):
        monkeypatch.chdir(place)
        told = json.loads(rewrite("--check", "--output-format", "json").stdout)
        assert [file["path"] for file in told["files"]] == [seen]
        assert rewrite("--check").stdout.startswith(f"{seen}:7:12: XF101")
        assert rewrite("--show-files").stdout == f"{seen}\n"
    monkeypatch.chdir(folder)
    (folder / "all.diff").write_text(rewrite("--check", "--output-format", "diff").stdout)
    subprocess.run(["git", "apply", "all.diff"], check=True)
    assert (folder / "src" / "m.py").read_text() == EXACT_AFTER


# -- names of other people's making ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["text", "json", "github", "sarif", "gitlab", "rdjson", "junit", "markdown"])
def test_no_name_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    Path("d", HOSTILE.replace("/", "")).write_text(EXACT)
    Path("d", "b\n::error::x.py").write_text(EXACT)
    Path("d", "c##[error]x.py").write_text(BROKEN)
    text = rewrite("--check", "-v", "--output-format", name, "d").stdout
    assert "\x1b" not in text
    assert "##[" not in text
    lines = [line for line in text.splitlines() if line.lstrip().startswith("::")]
    if name == "github":
        assert all(line.startswith(("::error title=", "::warning title=", "::notice title=")) for line in lines)
        assert all(line.split("::")[1].count(",file=") == 1 for line in lines)
        assert not any(",b%0A" in line.split("::")[1] for line in lines), "% and , of a name are escaped"
    else:
        assert lines == []
    if name == "markdown":
        assert "<img" not in text
        assert "@someone" not in text
        assert "`" not in text.replace("\\`", "")
    if name in ("sarif", "gitlab", "rdjson", "junit"):
        checked(name, text)


def test_a_name_that_is_no_utf_8_is_kept_in_a_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        Path("f\udcff.py").write_text(EXACT)
    except OSError:
        pytest.skip("no such names here")
    place = report("sarif", "--check", ".")["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert unquote(place["artifactLocation"]["uri"], errors="surrogateescape") == "f\udcff.py"
    for name in ("gitlab", "rdjson", "junit"):
        assert report(name, "--check", ".") is not None


# -- files, statistics, listing -------------------------------------------------------------------------
