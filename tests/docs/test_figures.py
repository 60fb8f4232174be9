"""Every figure that a person wrote into README or docs, held against the stored result or the source that it is from.

What `docs/make/` writes between its markers is held by `test_pages.py`, blocks of code by `test_commands.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, ROOT, WRITTEN, name, prose
from tests.docs.test_pages import script
from xf2sdpa.bench.run import BUDGETS, QUICK_SHAPES
from xf2sdpa.bot import web
from xf2sdpa.codes import RUN_CODES
from xf2sdpa.files import journal
from xf2sdpa.flags import table
from xf2sdpa.project import callers, ranks_from_callers
from xf2sdpa.report import github, markdown
from xf2sdpa.timing.model import GAIN
from xf2sdpa.verify import options
from xf2sdpa.verify.inputs.shapes import CPU_SHAPES, GPU_SHAPES
from xf2sdpa.verify.run import BUDGET
from xf2sdpa.verify.verdict import LEAST_MARGIN

RESULTS = ROOT / "benchmarks/results"
WORDS = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def stored(result: str) -> Any:
    return json.loads((RESULTS / f"{result}.json").read_text("utf-8"))


def _readme() -> list[str]:
    caught, alarms, shapes = (stored(f"h200_{what}") for what in ("mutations", "no_false_alarm", "shapes"))
    right = sum(alarms[kind]["compared"] for kind in ("fixtures", "helper"))
    assert not any(alarms[kind]["alarms"] for kind in ("fixtures", "helper"))
    notes = re.findall(r"^#+ .*$", (DOCS / "classes.md").read_text("utf-8"), re.MULTILINE)
    notes = [
        note for note in notes[notes.index("## What holds for every rewritten call") + 1 :] if note.startswith("###")
    ]
    return [
        f"caught all {sum(row['holds'] for row in caught['rows'])} of {len(caught['rows'])} planted mistakes",
        f"doubted none of {right} right rewrites",
        f"was {shapes['geometric_mean']:.2f} times as fast as xformers on average",
        f"in {WORDS[table.MOST_FILES]} files at most",
        f"[{WORDS[len(notes)].capitalize()} notes]",
    ]


def _bench() -> list[str]:
    gpu, cpu, quick_gpu, quick_cpu = (BUDGETS[where, quick] for quick in (False, True) for where in ("cuda", "cpu"))
    rows = (ROOT / "xf2sdpa/bench/shapes.toml").read_text("utf-8").count("[[shape]]")
    guide = " ".join((ROOT / "tests/bench/performance_guide.txt").read_text("utf-8").split())
    quoted = {
        "4.21 ms": "4.21ms",
        "80–90 % of peak bandwidth": "80-90% of peak bandwidth",
        "TF32 gives 4x": "4x speedup",
    }
    assert all(words in guide for words in quoted.values())
    return [
        *(f'"{words}"' for words in quoted),
        f"{gpu:.0f} on a GPU, {cpu:.0f} on a CPU",
        f"{WORDS[len(QUICK_SHAPES)]} more shapes; {quick_gpu:.0f} seconds on a GPU, {quick_cpu:.0f} on a CPU",
        f"[the {rows} that it brings]",
    ]


def _classes() -> list[str]:
    with_nan = [stored(f"{run}")["with_nan"]["plain"] for run in ("h200_nan_corner", "h100_nan_corner")]
    assert all(with_nan)
    assert not stored("h200_nan_corner_cudnn_9.26")["with_nan"]["plain"]
    assert callers._DEEPEST == ranks_from_callers._DEEPEST
    wrong = (RESULTS / "h200_cudnn_gradient_layout.txt").read_text("utf-8")
    assert "WRONG" in wrong
    return [
        f"{WORDS[callers._DEEPEST]} calls up, the call is inline",
        f"to callers {WORDS[callers._DEEPEST]} calls up",
        "a key length that is 64 more than a multiple of 128",
    ]


def _finishing() -> list[str]:
    killed = (ROOT / "benchmarks/killed_runs.py").read_text("utf-8")
    files, moments = (re.findall(rf'"--{what}", type=int, default=(\d+)', killed)[0] for what in ("files", "moments"))
    return [
        f"after {journal._OLDEST // (24 * 3600)} days or {journal._MOST} runs",
        f"kills runs over {files} files at {moments} random moments",
        "Exit status 0: yes, 1: no, 2: it cannot be told",
        "exit status 1 says so (2: there is nothing to take back)",
    ]


def _flags() -> list[str]:
    return [
        f"{WORDS[table.MOST_FILES].capitalize()} files at most are edited unasked",
        "keep 10 bits of mantissa instead of 23",
    ]


def _helper() -> list[str]:
    found = stored("h200_compat")
    assert found["failed"] == 0
    assert found["criterion"].startswith("error(new) <= 2 * error(old) + eps(dtype) * max|reference|")
    return [
        f"of {found['cases']:,} cases drawn at random xformers itself refused {found['refused']}, and in the others "
        "the helper's error stayed within twice xformers' and one rounding step"
    ]


def _hook() -> list[str]:
    return [
        f"at most {markdown.LIMIT:,} characters",
        f"{WORDS[github.MOST]} of each type",
        "own exit status: 1 where something would change",
    ]


def _verify() -> list[str]:
    caught, alarms = stored("h200_mutations")["rows"], stored("h200_no_false_alarm")
    compared, exact = (sum(alarms[kind][key] for kind in ("fixtures", "helper")) for key in ("compared", "exact"))
    dtypes = {
        wrong: {row["dtype"] for row in caught if row["name"] == wrong} for wrong in (row["name"] for row in caught)
    }
    assert all(row["holds"] for row in caught)
    for shapes in (CPU_SHAPES, GPU_SHAPES):
        assert {257, 77} <= {shape.keys for shape in shapes}
        assert {40, 160} <= {shape.width for shape in shapes}
    return [
        f"of {len(dtypes)} wrong rewrites in up to {WORDS[max(map(len, dtypes.values()))]} dtypes",
        f"it caught all {len(caught)} by",
        f"Of {compared} right ones it doubted none, and {exact} of them",
        "lengths 257 and 77, head sizes 40 and 160",
        f"more than {LEAST_MARGIN:.0%} and".replace("%", " %"),
        f"by more than {GAIN - 1:.0%}, the other".replace("%", " %"),
        f"{options.SAMPLES}; 0 for all. At most {options.SHAPES} kinds a site",
        f"For all sites without a program: {BUDGET:.0f}",
        "the exit status is 3",
        "if that is not 0; 1 if a site differs or is slower than asked; 2 if verify could not do its work; 3 if "
        "nothing was compared with the real xformers; 130 if it was interrupted",
        "else 0.",
        "Exit 1 if a site's old time over new",
    ]


SAID = {
    "README.md": _readme,
    "docs/bench.md": lambda: [*_bench(), "Exit status: 0 when measured, 2 if the command line or a file is wrong"],
    "docs/bot.md": lambda: [
        f"for {WORDS[int(web.PATIENCE // 60)]} minutes at most", "All of these end with status 0",
        "Status 2 is for what",
    ],
    "docs/classes.md": lambda: [*_classes(), "ends with 3 where there is no GPU"],
    "docs/finishing.md": _finishing,
    "docs/flags.md": _flags,
    "docs/helper.md": _helper,
    "docs/hook.md": _hook,
    "docs/json.md": lambda: ["JSON Schema 2020-12", "from 1, ends exclusive"],
    "docs/notebooks.md": lambda: ["cells of every kind count, from 1", "in format 3, is named", "exit 2)"],
    "docs/options.md": lambda: [
        "exit 1 if something would change", "Exit 1 if a call site is left", "| 0 | All that", "| 1 | Something would",
        "such as 2.1; else", "| 2 | A file could not", "| 130 | Interrupted",
    ],
    "docs/security.md": lambda: [f"({min(_OF_THE_RUN)} to {max(_OF_THE_RUN)})", "the exit status is 2"],
    "docs/speed.md": lambda: ["above 1 the new code is faster"],
    "docs/verify.md": _verify,
}  # fmt: skip
"""What the pages say with a figure, by what it is from."""

_OF_THE_RUN = [code for code in RUN_CODES if code.startswith("XF9")]
_GENERATED = re.compile(r"<!-- (\w+): made by .*?<!-- /\1 -->", re.DOTALL)
_NAMES = re.compile(
    r"\b[Tt]orch (?:is )?[<>=]*\d[\d.]*( (to|and|or) \d+\.\d+)*"
    r"|\b(Python|cuDNN|its version|xformers|with|use) \d+\.\d[\d.]*"
    r"|H[12]00|\d-D|b?float\d+|FlashAttention-\d|TF32|pytorch#\d+|xf2sdpa|Jinja2|\bL2\b|\bXF\d+|SARIF 2\.1\.0"
)
"""Names and releases, which are no figures."""


def text(page: Path) -> str:
    """What a person wrote on a page, without code, links and the numbers of a list."""
    told = re.sub(r"<!--.*?-->", "", _GENERATED.sub("", prose(page)))
    told = re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "``", told))
    return " ".join(re.sub(r"^\d+\. ", "", told, flags=re.MULTILINE).split())


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_every_figure_is_from_somewhere(page: Path) -> None:
    left = text(page)
    for words in SAID.get(name(page), list)():
        assert words in left, words
        left = left.replace(words, "")
    assert re.findall(r".{0,40}\d.{0,20}", _NAMES.sub("", left)) == []


def test_a_figure_from_nowhere_is_seen() -> None:
    assert re.search(r"\d", _NAMES.sub("", "On an H200 with torch 2.11 to 2.14 it is 1.9 times as fast.")) is not None
    assert re.search(r"\d", _NAMES.sub("", "With torch 2.11 to 2.14 and cuDNN 9.26, Python 3.10.")) is None


def test_figures_of_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    performance = script("performance", monkeypatch)
    modules = {module.label: module for module in performance.runs()["H200"].modules}
    fast, slow = (performance.forward_time(modules[f"float32 {way} TF32"].forward) for way in ("with", "without"))
    told = " ".join((DOCS / "flags.md").read_text("utf-8").split())
    assert f"took {fast:.1f} ms instead of {slow:.1f}, {slow / fast:.2f} times as fast" in told
