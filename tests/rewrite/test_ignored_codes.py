"""`--select`, `--ignore` and `# xf2sdpa: ignore` hold for every rule and code: each case of `tests/rules` is run again.

A call site that is left is always told, under the reason for which it is.
"""

from __future__ import annotations

import functools
import io
import tokenize
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.rewrite.test_words import FILES, cases
from tests.rules.common import HELPER, Case, rewritten
from xf2sdpa.model import FileResult, FindingKind, SiteClass
from xf2sdpa.rewrite.engine import rewrite_text
from xf2sdpa.rewrite.registry import all_rules
from xf2sdpa.settings import Settings

Told = tuple[str, str, int]
"""A code, what kind of thing is told under it, and in which line."""
LEFT = SiteClass.LEFT.value
DONE = {kind.value for kind in SiteClass} - {LEFT} | {FindingKind.DONE.value, FindingKind.DROPPED.value}


def told(result: FileResult) -> Iterator[Told]:
    """All that a result tells."""
    for site in result.sites:
        yield site.code, site.kind.value, site.span.line
        yield from ((note.code, FindingKind.NOTE.value, site.span.line) for note in site.notes)
    for finding in result.findings:
        yield finding.code, finding.kind.value, finding.span.line


@functools.cache
def of_code() -> dict[str, list[Case]]:
    """The cases that bring out each code, with the examples of the rules' pages."""
    found: dict[str, list[Case]] = {}
    examples = [Case(example.before, helper=example.helper) for rule in all_rules() for example in rule.examples]
    for case in [*(case for file in FILES for case in cases(file)), *examples]:
        if not (case.settings and case.settings.select):
            for code in {code for code, *_ in told(rewritten(case))}:
                found.setdefault(code, []).append(case)
    return found


def again(case: Case, text: str | None = None, **chosen: tuple[str, ...]) -> FileResult:
    """A case with other settings, and with another text."""
    settings = case.settings or Settings()
    chosen = {key: (*getattr(settings, key), *codes) for key, codes in chosen.items()}
    return rewritten(replace(case, settings=replace(settings, **chosen)), text)


CODES = sorted(of_code())


@pytest.mark.parametrize("code", CODES)
def test_what_is_ignored_is_neither_done_nor_told(code: str) -> None:
    for case in of_code()[code]:
        result = again(case, ignore=(code,))
        assert not result.failed, (case.program, result.findings)
        assert [entry for entry in told(result) if entry[0] == code and entry[1] != LEFT] == [], case.program


@pytest.mark.parametrize("code", CODES)
def test_what_is_not_selected_is_not_done(code: str) -> None:
    for case in of_code()[code]:
        result = again(case, select=("XF5",))
        assert not result.failed, (case.program, result.findings)
        assert [entry for entry in told(result) if entry[1] in DONE] == [], case.program
        assert result.new == case.program


@pytest.mark.parametrize("words", ["ignore", "ignore[{code}]"])
@pytest.mark.parametrize("code", [code for code in CODES if code.startswith("XF1")])
def test_a_comment_keeps_a_place_as_it_is(code: str, words: str) -> None:
    """In the line that is told. With a code, what is done there under another one, such as the guard around it, is."""
    for case in of_code()[code]:
        for line in {line for other, kind, line in told(rewritten(case)) if other == code and kind in DONE}:
            text = commented(case.program, line, f"# xf2sdpa: {words.format(code=code)}")
            if text is None:
                continue
            result = again(case, text)
            assert not result.failed, (text, result.findings)
            done = [entry for entry in told(result) if entry[0] == code and entry[1] in DONE and entry[2] == line]
            assert done == [], text
            assert words != "ignore" or text.splitlines()[line - 1] in result.new.splitlines(), (text, result.new)


def commented(program: str, line: int, comment: str) -> str | None:
    """A program with a comment at the end of a line; None where that is no place for one."""
    lines = program.splitlines()
    if "#" in lines[line - 1] or lines[line - 1].endswith("\\"):
        return None
    lines[line - 1] += f"  {comment}"
    text = "\n".join(lines) + "\n"
    found = tokenize.generate_tokens(io.StringIO(text).readline)
    return text if any(token.type == tokenize.COMMENT and token.start[0] == line for token in found) else None


def test_a_quoted_annotation_that_is_left_brings_no_import() -> None:
    text = "import xformers.ops as xops\n\n\ndef f(x, mask: 'xops.AttentionBias'):\n    return x\n"
    assert rewrite_text(text, compat=HELPER).new.startswith("from _attention_compat import AttentionBias\n")
    result = rewrite_text(text, settings=Settings(ignore=("XF160",)), compat=HELPER)
    assert (result.new, result.failed) == (text, False)
