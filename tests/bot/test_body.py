"""What the text of a request says, and how much of it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.bot.conftest import Bot
from tests.bot.host import Host
from tests.bot.page import html, page
from tests.bot.test_hostile import hostile
from tests.page import samples
from tests.run.commands import ASSUMED, BROKEN, COMPAT, EXACT, LEFT
from xf2sdpa.bot import body
from xf2sdpa.bot.body import BEGIN, END, Material, merged, render
from xf2sdpa.bot.model import BRANCH, RequestOptions
from xf2sdpa.bot.remotes import place_of
from xf2sdpa.verify.report import json as reports

SLUG = "owner/name"
PROJECT = {
    "src/model.py": EXACT,
    "src/assumed.py": ASSUMED,
    "package/__init__.py": "",
    "package/compat.py": COMPAT,
    "package/left.py": LEFT,
    "broken.py": BROKEN,
    "train.py": 'import torch\nfrom src.model import attend\n\nif __name__ == "__main__":\n    attend(torch.ones(1))\n',
    "Dockerfile": "RUN pip install xformers\nRUN python -c 'import xformers'\n",
}


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^### (.*)$", text, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def test_every_section_says_its_part(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, PROJECT)
    told = bot.run(SLUG, "--", ".")
    assert told.status == 0, told.err
    text = repo.pulls[0].body
    said = sections(text.replace("\\", ""))
    assert list(said) == [
        "",
        "Left for a person",
        "Can xformers be uninstalled?",
        "Call sites",
        "H200 flags",
        "Files that still name xformers",
        "What was checked, and where",
        "Run again, undo, ignore",
    ]
    assert "**4 call sites**: 1 exact, 1 assumed, 1 compat, 1 left." in said[""]
    left = said["Left for a person"]
    assert re.search(r"package/left.py:5</code>\]\([^)]*\) XF208 \*\*left\*\*: .* has no equivalent", left)
    assert re.search(r"broken.py:\d+</code>.* XF901 ", left), "what could not be worked on is for a person"
    assert left.index("is new") < left.index("XF208") < left.index("XF901") < left.index("XF401")
    assert "package/_attention_compat.py</code> is new" in left
    assert "After this: **no**, because <code>" in said["Can xformers be uninstalled?"]
    assert "left.py:" not in said["Can xformers be uninstalled?"], "what stands above is not said again"
    sites = said["Call sites"]
    assert re.search(r"src/model.py:7</code>\]\(\S+/blob/[0-9a-f]{40}/src/model.py#L7\) \| exact \| XF101 \|", sites)
    assert "<br>assuming that inside autocast, query, key and value are not float32" in sites
    assert re.search(r"compat.py:5.*\| compat \| XF161 \| the function does not show", sites)
    assert "`removed`" not in sites, "only classes that there are"
    assert "train.py:" in said["H200 flags"]
    assert "Changes rounding" in said["H200 flags"], "what changes numbers is said"
    assert "were not run side by side" in said["What was checked, and where"]
    assert "<code>Dockerfile</code>: 2 lines" in said["Files that still name xformers"]
    again = said["Run again, undo, ignore"]
    assert f"xf2sdpa pr --remote {host.base}/{SLUG}.git --api {host.base}/api/v3 -- .\nxf2sdpa rewrite .\n" in again
    assert "git revert" in again
    assert "not opened again" in again
    assert "# xf2sdpa: ignore" in again


def test_the_lines_to_run_again_are_words_of_a_shell(host: Host, bot: Bot) -> None:
    """Whatever the branch is called; and a name and a password in the address are not among them."""
    repo = host.seed(SLUG, PROJECT)
    branch = "it's;$(id)&`id`"
    address = f"{host.base.replace('//', '//ada:pa55@')}/{SLUG}.git"
    told = bot.run(SLUG, "--remote", address, "--branch", branch, "--", "--only", "exact", "src")
    assert told.status == 0, told.err
    text = repo.pulls[0].body
    (again, alone) = re.findall(r"^```sh\n(.*)\n(.*)\n```$", text, re.MULTILINE)[0]
    assert shlex.split(again)[-6:] == ["--branch", branch, "--", "--only", "exact", "src"]
    assert shlex.split(alone) == ["xf2sdpa", "rewrite", "--only", "exact", "src"]
    assert "pa55" not in text + told.out + told.err
    assert "ada" not in again


def test_messages_that_went_are_left_to_nobody(host: Host, bot: Bot) -> None:
    guard = "try:\n    import xformers.ops as xops\nexcept ImportError:\n    raise ImportError('install xformers')\n"
    repo = host.seed(SLUG, {"a.py": EXACT.replace("import xformers.ops as xops\n", guard)})
    assert bot.run(SLUG).status == 0
    said = sections(repo.pulls[0].body)
    assert "Left for a person" not in said
    assert "install xformers" in said["Messages that went"]


def test_requirements_go_with_the_last_use(host: Host, bot: Bot) -> None:
    repo = host.seed(SLUG, {"a.py": EXACT, "requirements.txt": "torch>=2.1\nxformers\n"})
    assert bot.run(SLUG).status == 0
    assert repo.show(BRANCH, "requirements.txt") == "torch>=2.1"
    said = sections(repo.pulls[0].body)
    assert "After this: **yes**.\n" in said["Can xformers be uninstalled?"]
    assert "* <code>requirements.txt:2</code> <code>xformers</code> went.\n" in said["Can xformers be uninstalled?"]
    assert "Files that still name xformers" not in said


def test_a_cell_of_a_notebook(host: Host, bot: Bot) -> None:
    cell = {"cell_type": "code", "metadata": {}, "source": EXACT, "outputs": [], "execution_count": None}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    repo = host.seed(SLUG, {"demo.ipynb": json.dumps(notebook, indent=1) + "\n"})
    assert bot.run(SLUG).status == 0
    assert "scaled_dot_product_attention" in repo.show(BRANCH, "demo.ipynb")
    assert re.search(r"\[<code>demo.ipynb:cell 1:7</code>\]\(\S+/demo.ipynb\) \| exact", repo.pulls[0].body)


def test_a_report_of_verify_is_attached(host: Host, bot: Bot, tmp_path: Path) -> None:
    repo = host.seed(SLUG, PROJECT)
    file = tmp_path / "verified.json"
    file.write_text(reports.render(samples.report()))
    assert bot.run(SLUG, "--verify-report", str(file)).status == 0
    said = sections(repo.pulls[0].body.replace("### ❌", "#### ❌"))["What was checked, and where"]
    assert "NVIDIA H200, torch 2.11.0+cu130" in said
    assert "were not run side by side" not in said
    assert "Of 12 call sites, 1 differs" in said
    file.write_text("{}")
    told = bot.run(SLUG, "--verify-report", str(file))
    assert told.status == 2
    assert "not a report of xf2sdpa verify" in told.err
    assert "--verify-report" in bot.run(SLUG, "--verify-report", str(tmp_path / "none")).err


def material(sites: int, naming: int) -> Material:
    site = {
        "class": "exact",
        "code": "XF101",
        "line": 1,
        "message": "m",
        "advice": "",
        "assumptions": [],
        "after": "f()",
    }
    report: dict[str, Any] = {
        "totals": {"exact": sites, "assumed": 0, "compat": 0, "removed": 0, "left": 0, "files_changed": sites},
        "torch": {"needs": None, "pinned": None, "pinned_at": None, "too_old": False},
        "tool": {"version": "1"},
        "helpers": [],
        "flags": {"wanted": [], "places": []},
        "not_needed": [],
        "files": [
            {"path": f"some/folder/file_{number}.py", "sites": [site, {**site, "class": "left"}], "findings": []}
            for number in range(sites)
        ],
    }
    place = place_of("https://github.com/o/n", {})
    files = [(f"docs/{number}.md", number) for number in range(naming)]
    return Material(
        report, place, "c" * 40, files, RequestOptions(verified=lambda limit: "x" * limit), ["xf2sdpa", "pr"]
    )


@pytest.mark.parametrize("limit", [6_000, 20_000, 60_000])
@pytest.mark.parametrize("number", [0, 3, 4_000])
def test_it_is_never_too_long_and_always_whole(limit: int, number: int) -> None:
    text = render(material(number, number), limit)
    assert len(text) <= limit
    assert text.startswith(BEGIN)
    assert text.endswith(END)
    assert text.count("<details") == text.count("</details>")
    assert "### Run again, undo, ignore" in text
    if number > 1000:
        left = [int(found.replace(",", "")) for found in re.findall(r"length: ([\d,]+) call sites", text)]
        assert sum(left) + len(re.findall(r"^\| \[<code>some/", text, re.MULTILINE)) == number, "left out, and counted"
        once = r"^\* XF101 \*\*left\*\*: m\. At 4000 places: \[<code>some.* and 3994 more\.$"
        assert limit < 20_000 or re.search(once, text, re.MULTILINE), "what is said of many is said once"


@pytest.mark.parametrize(
    ("can_go", "bearings", "said"),
    [
        (True, [], "After this: **yes**.\n"),
        (False, ["needs", "names"], "After this: **no**, because <code>a0.py</code> needs it.\n"),
        (False, ["needs"] * 5, "<code>a2.py</code> and 2 more need it.\n"),
        (None, ["unsure"], "After this: **not for all that is known**, because <code>a0.py</code> may need it.\n"),
    ],
)
def test_whether_xformers_can_go(can_go: bool | None, bearings: list[str], said: str) -> None:
    made = material(1, 0)
    mention = {"line": 3, "kind": "code", "text": "x | <b>", "advice": "Do it.", "lines": 1, "code": ""}
    mentions = [{**mention, "path": f"a{number}.py", "bearing": bearing} for number, bearing in enumerate(bearings)]
    change = {"path": "r.txt", "line": 2, "was": "xformers", "now": "", "why": "", "empty_extra": ""}
    changes = [change, {**change, "now": "torch>=2.1"}, {**change, "why": "it is pinned <i>"}]
    closing = {"can_be_uninstalled": can_go, "requirements": changes, "mentions": mentions, "requirements_edited": True}
    made.report["closing"] = closing
    text = sections(render(made, 20_000))["Can xformers be uninstalled?"]
    assert said in text
    assert text.count("* <code>a") == len([bearing for bearing in bearings if bearing != "names"])
    assert "* <code>r.txt:2</code> <code>xformers</code> went.\n" in text
    assert "is now <code>torch&gt;=2.1</code>.\n" in text
    assert "stays: it is pinned &lt;i&gt;.\n" in text


def test_a_persons_words_stay() -> None:
    old = f"before\n{BEGIN}\nold\n{END}\nafter"
    new = f"{BEGIN}\nnew\n{END}"
    assert merged(old, new) == f"before\n{BEGIN}\nnew\n{END}\nafter"
    assert merged(merged(old, new), new) == merged(old, new)
    assert merged("all mine", new) == "all mine"
    assert merged(f"{END} x {BEGIN}", new) == f"{END} x {BEGIN}"


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser")
def test_a_browser_shows_it_and_runs_nothing(host: Host, bot: Bot, tmp_path: Path) -> None:
    repo = hostile(host)
    bot.run(SLUG, "--", "--jobs", "1")
    watch = "<script>window.alert = () => document.body.dataset.ran = 'yes'</script>"
    file = tmp_path / "page.html"
    file.write_text(
        watch + page(repo.pulls[0].body, "light") + "<img src=none onerror=\"document.body.dataset.end='y'\">"
    )
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'user'}"]
    done = subprocess.run(
        [*browser, "--virtual-time-budget=2000", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert 'data-end="y"' in done.stdout, "scripts do run in this page"
    assert "data-ran" not in done.stdout
    assert "&lt;img src=x onerror=alert(1)&gt;" in html(repo.pulls[0].body)
    assert body.BEGIN.split(":")[0] in done.stdout
