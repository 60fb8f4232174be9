"""The report for a pull request."""

from __future__ import annotations

import re

import pytest

from tests.page import samples
from xf2sdpa.judging.model import Case, Check
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.report import baseline, html, markdown


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| <code>")]


def test_a_line_a_table_and_folded_details() -> None:
    text = markdown.render(samples.report())
    assert text.startswith("### ❌ xf2sdpa verify\n\nOf 12 call sites, 1 differs")
    assert len(rows(text)) == 12
    assert rows(text)[0].startswith(
        "| <code>src/model/legacy.py:41</code> | ❌ differs | exact | gradient of query | NaN"
    )
    assert text.count("<details>") == text.count("</details>") == 12
    assert (
        "* with q 2×257×8×40, k 2×77×8×40, float16, autocast float16\n  * output: error 8.3e-01, limit 8.3e-04" in text
    )
    assert "\n- mea(q, k, v)\n+ sdpa(q, v, k)\n" in text


def test_a_call_that_stayed_what_it_was_has_no_diff() -> None:
    checks = tuple(Check(f"output {number}", ok=False, new_error=2.0, limit=1.0) for number in range(22))
    case = Case("q 1", "float16", checks=checks)
    site = SiteReport("a.py::f#0", "a.py", 1, "compat", "f(q)", "f(q)", Status.DIFFERS, "look at b.py", cases=[case])
    for text in (markdown.render(Report(samples.XFORMERS, [site])), html.render(Report(samples.XFORMERS, [site]))):
        assert "look at b.py" in text
        assert "```" not in text
        assert '<pre class="diff">' not in text
    assert "\n* 2 checks more\n" in markdown.render(Report(samples.XFORMERS, [site]))


def test_without_xformers_every_row_says_so() -> None:
    text = markdown.render(samples.report(reference=True))
    assert "NOT VERIFIED AGAINST XFORMERS" in text
    assert all(row.endswith("| reference |") and "(reference)" in row for row in rows(text))
    assert "faster" not in text


@pytest.mark.parametrize("limit", [2_000, 10_000, markdown.LIMIT])
def test_it_is_never_too_long_and_says_what_it_leaves_out(limit: int) -> None:
    text = markdown.render(samples.report(copies=40), limit=limit)
    assert len(text) <= limit
    assert text.startswith("### ❌")
    left = re.search(r"Not shown here, for the length: ([\d,]+) call sites", text)
    assert left is not None
    assert int(left[1]) + len(rows(text)) == 40 * len(samples.SITES) + 4
    assert text.count("<details>") == text.count("</details>")
    if limit > 10_000:
        assert "legacy.py:41 Swapped.forward#0: differs" in text, "what fails has its details first"
    assert text.endswith("seed 0\n")


def test_a_monstrous_name_does_not_make_it_too_long() -> None:
    report = Report(samples.XFORMERS, [SiteReport("a" * 200_000, "b" * 200_000, 1, "exact", "", "", Status.AGREES)])
    text = markdown.render(report)
    assert len(text) <= markdown.LIMIT
    assert "1 call site" in text
    report.environment = type(report.environment)(**{**vars(samples.REFERENCE), "old_path": "c" * 200_000})
    assert len(markdown.render(report)) <= markdown.LIMIT


def test_users_code_stays_text() -> None:
    text = markdown.render(samples.report())
    outside = re.sub(r"(?ms)^(`{3,})diff\n.*?^\1$", "", text)
    assert "<script" not in outside
    assert "@everyone" not in outside, "nobody is notified"
    row = next(row for row in rows(text) if "legacy.py:103" in row)
    assert len(re.findall(r"(?<!\\)\|", row)) == 8, "a bar in code does not make a column"
    fence = re.search(r"(?m)^(`+)diff\n(?:(?!^\1$).*\n)*?.*``` @everyone", text)
    assert fence is not None
    assert len(fence[1]) > 3, "the fence is longer than any in the code"


def test_changes_since_an_earlier_run() -> None:
    report = samples.report()
    text = markdown.render(report, comparison=baseline.compare(report, samples.earlier()))
    assert "⚠️ src/model/decoder.py::CausalSelfAttention.forward\\#0: speed 1.21× before, 0.93× now" in text
    assert "driver was 570.86, is 580.159" in text
