"""Judges what became of one program: its sites, its text, and what it computes."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests import oracle
from tests.equivalence import Surroundings, differences
from tests.property.program import Program

Rewrite = Callable[[str], Any]
"""Text → `xf2sdpa.model.FileResult`."""

IMPORT = re.compile(r"^\s*(import|from) +(xformers|mslk)\b.*", re.MULTILINE)
LOOKUP = re.compile(IMPORT.pattern + r"|find_spec\(.xformers", re.MULTILINE)
MIGRATED = ("exact", "assumed")


@dataclass
class Verdict:
    """The class of the program's site (or what is wrong with the sites), its code, and all disagreements."""

    kind: str = ""
    code: str = ""
    disagreements: list[str] = field(default_factory=list)


def judge(program: Program, rewrite: Rewrite) -> Verdict:
    """Rewrite a program and judge the result."""
    result = rewrite(program.text)
    verdict = Verdict()
    site, complaint = _main_site(program, result)
    if complaint or site is None:
        verdict.disagreements.append(complaint)
        return verdict
    verdict.kind, verdict.code = site.kind.value, site.code
    verdict.disagreements += _text_complaints(program, result, verdict.kind, rewrite)
    if not verdict.disagreements and verdict.kind in MIGRATED:
        verdict.disagreements += numbers(program, result.new, verdict.kind)
    return verdict


def _main_site(program: Program, result: Any) -> tuple[Any, str]:
    """The site in `forward`; or what is wrong with the sites."""
    if result.failed:
        return None, f"the file failed: {[finding.message for finding in result.findings]}"
    main = [site for site in result.sites if "forward" in site.qualname]
    other = [site for site in result.sites if "forward" not in site.qualname]
    if len(main) != 1 or len(other) != program.second_site:
        return None, f"sites found in {[site.qualname for site in result.sites]}"
    if any(site.kind.value != "left" for site in other):
        return None, f"a wrapper of unknown rank became {other[0].kind.value}"
    return main[0], ""


def _text_complaints(program: Program, result: Any, kind: str, rewrite: Rewrite) -> list[str]:
    found = []
    if kind not in MIGRATED and result.new != program.text:
        found.append(f"the site is {kind}, yet the text changed")
    if kind in MIGRATED and result.new == program.text:
        found.append(f"the site is {kind}, yet the text did not change")
    try:
        ast.parse(result.new)
    except SyntaxError as error:
        return [*found, f"the new text does not parse: {error}"]
    if program.keeps and _flush_left(program.keeps) not in _flush_left(result.new):
        found.append(f"touched: {program.keeps}")
    if kind in MIGRATED and program.import_goes and (left := IMPORT.search(result.new)):
        found.append(f"an import stays without a use: {left[0].strip()}")
    again = rewrite(result.new)
    if again.new != result.new:
        found.append("a second pass changes the text again")
    return found


def _flush_left(text: str) -> str:
    return re.sub(r"(?m)^ +", "", text)


def numbers(program: Program, new: str, kind: str) -> list[str]:
    """How the new text computes something else than the old one."""
    conditions = [c for c in program.conditions if kind == "exact" or not c.autocast]
    found = []
    for given in program.givens:
        differs = differences(
            program.text, new, given, conditions, surroundings(program, new), layout=not program.loose
        )
        found += [f"{given.others or ''} {difference}".strip() for difference in differs]
    return found


def surroundings(program: Program, new: str) -> Surroundings:
    """Where the new text runs: without xformers, if nothing in it names it."""
    if program.second_site:
        return oracle.installed
    return oracle.poisoned if LOOKUP.search(new) else oracle.absent
