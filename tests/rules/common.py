"""What the tests of the rules share: small programs in tables, and what must be told of each.

What is told is written as the report has it: `left XF201` for a call site, `note XF302` for a note at one, and
`finding XF140` for a place without a call.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from xf2sdpa.model import FileResult, FindingKind
from xf2sdpa.rewrite.engine import rewrite_text
from xf2sdpa.rewrite.pages import all_codes
from xf2sdpa.rewrite.registry import all_rules
from xf2sdpa.rulekit.rule import Rule
from xf2sdpa.settings import Settings

HELPER = "_attention_compat"
KNOWN = frozenset(all_codes())
IMPORTS = "import torch\nimport torch.nn.functional as F\nimport xformers.ops as xops\n"


def attend(call: str, *before: str, imports: str = IMPORTS, given: str = "q, k, v, bias, c, drop") -> str:
    """A program of one function, whose query is known to have four dimensions, and which returns a call."""
    lines = ["b, n, h, d = q.shape", *before, f"return {call}"]
    return f"{imports}\n\ndef attend({given}):\n" + "".join(f"    {line}\n" for line in lines)


def mea(*more: str) -> str:
    """A call of the operator whose result may have any strides."""
    return f"xops.memory_efficient_attention({', '.join(['q', 'k', 'v', *more])}).flatten(2)"


@dataclass(frozen=True)
class Case:
    """A program and what must come of it.

    Attributes:
        told: each of these is told.
        says: a part of what the first of them says.
        has: pieces of the new text.
        lacks: what is no piece of the new text.
        same: whether the text stays as it was.
        helper: whether there may be a helper module.
    """

    program: str
    told: tuple[str, ...] = ()
    says: str = ""
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    same: bool = False
    helper: bool = False
    path: str = "model.py"
    settings: Settings | None = None
    handed_on: frozenset[str] = frozenset()


def rule(name: str) -> Rule:
    """A rule by the name of its module."""
    return next(found for found in all_rules() if found.name == name)


def rewritten(case: Case, text: str | None = None) -> FileResult:
    """The result for a case's program, or for another text in its place."""
    return rewrite_text(
        case.program if text is None else text,
        case.path,
        case.settings,
        handed_on=case.handed_on,
        compat=HELPER if case.helper else None,
    )


def told(result: FileResult) -> dict[str, list[str]]:
    """What a result tells, and the messages of each."""
    found: dict[str, list[str]] = {}
    for site in result.sites:
        found.setdefault(f"{site.kind.value} {site.code}", []).append(site.message)
        for note in site.notes:
            found.setdefault(f"note {note.code}", []).append(note.message)
    for finding in result.findings:
        found.setdefault(f"finding {finding.code}", []).append(finding.message)
    return found


def assert_sound(result: FileResult) -> None:
    """Check that all that is told has a code that is listed, and words; and that what keeps xformers says so."""
    notes = [note for site in result.sites for note in site.notes]
    for entry in (*result.sites, *result.findings, *notes):
        assert entry.code in KNOWN, entry
        assert isinstance(entry.message, str), entry
        assert isinstance(entry.advice, str), entry
    assert all(isinstance(finding.kind, FindingKind) for finding in result.findings)
    assert all(isinstance(sentence, str) for site in result.sites for sentence in site.assumptions)


def holds(case: Case, never: tuple[str, ...] = ()) -> FileResult:
    """Check that a case holds, and that none of some codes is told."""
    result = rewritten(case)
    assert not result.failed, result.findings
    assert_sound(result)
    found = told(result)
    assert set(case.told) <= set(found), (found, result.new)
    assert not {entry for entry in found if entry.partition(" ")[2] in never}, found
    if case.says:
        assert any(case.says in message for message in found[case.told[0]]), found[case.told[0]]
    for piece in case.has:
        assert piece in result.new, result.new
    for piece in case.lacks:
        assert piece not in result.new, result.new
    assert (result.new == case.program) or not case.same, result.new
    ast.parse(result.new)
    assert rewritten(case, result.new).new == result.new, "a second run changes nothing"
    return result


def by_name(cases: Mapping[str, Case]) -> pytest.MarkDecorator:
    """Run a test with each case."""
    return pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in cases.items()])


def examples_hold(name: str) -> None:
    """Check what the rule's page shows: the example comes out as it says, and the rule is what does it."""
    examples = rule(name).examples
    assert examples
    for example in examples:
        holds(Case(example.before, has=(example.after or example.before,), helper=example.helper))


def codes_in(*tables: Mapping[str, Case]) -> set[str]:
    """The codes that the cases of some tables are about."""
    return {entry.partition(" ")[2] for table in tables for case in table.values() for entry in case.told}
