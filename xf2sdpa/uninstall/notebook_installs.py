"""Lines of a notebook that install xformers lose it once nothing that the notebook runs needs it any more.

Only where this run has rewritten what it was for: a line that installs xformers for no visible use may do so for a
library or a program. What such lines and others still say of xformers is told.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from xf2sdpa.codes import INSTALLS, NOTEBOOK, RUN_CODES
from xf2sdpa.files.magics import LINE, cell_magic
from xf2sdpa.files.notebook import BORDER, Notebook
from xf2sdpa.model import FileResult, Finding, FindingKind, SiteClass, Span
from xf2sdpa.project.files import Project
from xf2sdpa.uninstall.install_lines import brings_code, without_ours
from xf2sdpa.uninstall.notebooks import Named, code_names, masked_names, shortened

_NEEDS = re.compile(r"^[ \t]*(?:from|import)[ \t]+(?:[^\n#]*,[ \t]*)?(?:xformers|mslk)\b", re.MULTILINE)
_PROGRAMS = re.compile(r"^[ \t]*(?:nohup[ \t]+)?(?:python|accelerate|torchrun|deepspeed|bash|sh|\./)", re.MULTILINE)


@dataclass(frozen=True)
class Wishes:
    """What a person wants of install lines: `keep` says why all stay, if they do; the others take a code."""

    keep: str = ""
    selects: Callable[[str], bool] = lambda _: True


def settle_installs(
    result: FileResult, source: Notebook, results: Mapping[Path, FileResult], project: Project, wishes: Wishes
) -> None:
    """Take xformers out of one notebook's install lines where it can go, and name what stays.

    Args:
        result: what became of the notebook; changed in place.
        source: the notebook.
        results: what became of all files.
        project: the files as the rewrite leaves them.
        wishes: what the options ask for.
    """
    if result.failed:
        return
    named = list(masked_names(source, result.new))
    places = {place.number: place for place in masked_names(source, source.text)}
    installing = [place for place in named if place.kind == "install"]
    why = _why_kept(result, source, results, project, wishes) if installing else ""
    if not why:
        for place in installing:
            done = _without(result, source, place)
            if done is not None:
                result.findings.append(_finding(result, places[place.number], INSTALLS, done, FindingKind.DONE))
                named.remove(place)
    for place in named:
        said = _said(place, why or "is part of a statement")
        result.findings.append(_finding(result, places[place.number], NOTEBOOK, said, FindingKind.KEEPS))


def _finding(result: FileResult, place: Named, code: str, message: str, kind: FindingKind) -> Finding:
    span = Span(place.line, 0, place.line, 0, place.cell)
    return Finding(str(result.path), span, code, message, RUN_CODES[code].way_out, kind)


def _said(place: Named, why: str) -> str:
    if place.kind == "install":
        return f"installs xformers, and stays, as {why}: `{place.text}`"
    what = "a cell that is no Python" if place.kind == "cell" else "a line that is no Python"
    return f"{what} names xformers, and stays as it is: `{place.text}`"


# -- whether it can go --------------------------------------------------------------------------------


def _why_kept(
    result: FileResult, source: Notebook, results: Mapping[Path, FileResult], project: Project, wishes: Wishes
) -> str:
    """Why the install lines of a notebook stay as they are; empty where xformers can go."""
    if wishes.keep or not wishes.selects(INSTALLS):
        return wishes.keep or f"{INSTALLS} is not selected"
    reached = sorted(project.graph.reached_from(str(result.path)) - {str(result.path)})
    theirs = [found for file in reached if (found := results.get(Path(file))) is not None]
    if not any(map(_is_rewritten, [result, *theirs])):
        return "nothing that was rewritten shows what it is for"
    if needing := next((file for file in reached if _NEEDS.search(project.text(file))), ""):
        return f"{needing} imports it"
    if left := next((found for found in theirs if _needs(found)), None):
        return f"{left.path} still needs it"
    if _needs(result):
        return "it is still needed here"
    if use := next(code_names(result.new), None):
        return f"cell {use.cell} still names it"
    return _program(source, result.new) or _unseen(result.path, project)


def _is_rewritten(result: FileResult) -> bool:
    done = any(finding.kind is FindingKind.DONE for finding in result.findings)
    return result.changed and (done or any(site.kind is not SiteClass.LEFT for site in result.sites))


def _needs(result: FileResult) -> bool:
    left = any(site.kind is SiteClass.LEFT for site in result.sites)
    return left or any(finding.needs_xformers for finding in result.findings)


def _program(source: Notebook, text: str) -> str:
    """A reason to keep it that lies in what the notebook starts: another line that names it, a program."""
    for place in masked_names(source, text):
        if place.kind != "install":
            return f"cell {place.cell} still names it"
    for number in source.table.numbers_in(text):
        said = source.table.texts[number]
        whole = number in source.table.whole
        if cell_magic(said) in ("writefile", "file"):
            continue
        started = _PROGRAMS.search(said) is not None if whole else said.startswith(("!", "%")) and brings_code(said)
        if started:
            return f"code that is not seen here may need it (`{shortened(said)}`)"
    return ""


def _unseen(path: Path, project: Project) -> str:
    """A module beside the notebook that it imports and that this run did not look at."""
    folder = Path(os.path.realpath(path)).parent
    for statement in project.imports(path):
        root = statement.module.partition(".")[0] or statement.name
        known = project.graph.module(str(path), statement.dots, statement.module or statement.name) is not None
        if root and not known and ((folder / f"{root}.py").exists() or (folder / root).is_dir()):
            return f"{root} was not looked at, which is imported here"
    return ""


# -- how it goes --------------------------------------------------------------------------------------


def _without(result: FileResult, source: Notebook, place: Named) -> str | None:
    """Take xformers out of one line; what was done, or None where it cannot be."""
    said = source.table.texts[place.number]
    line = without_ours(said) or ""
    match = re.search(rf"{LINE}\({place.number}\b[^)]*\)", result.new)
    if match is None:
        return None
    if line:
        reads = match[0].strip().removesuffix(")").rpartition("(")[2].replace("\n", "").split(", ")[1:]
        result.new = result.new[: match.start()] + source.table.call(line, reads) + result.new[match.end() :]
        return f"installs no xformers any more: `{shortened(line)}`"
    start, end = result.new.rfind("\n", 0, match.start()) + 1, result.new.find("\n", match.end())
    indent = result.new[start : match.start()]
    if indent.strip() or result.new[match.end() : end].strip():
        return None
    if _is_alone(result.new, result.new.count("\n", 0, match.start()) + 1):
        result.new = f"{result.new[:start]}{indent}pass{result.new[end:]}"
    else:
        result.new = result.new[:start] + result.new[end + 1 :]
    result.new = _magics_alone_gone(result.new, source)
    return f"a line that only installed xformers is gone: `{place.text}`"


def _is_alone(text: str, line: int) -> bool:
    """Whether the statement in a line is the only one of a block within another statement."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Module):
            for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
                if isinstance(block, list) and len(block) == 1 and block[0].lineno == line:
                    return True
    return False


def _magics_alone_gone(text: str, source: Notebook) -> str:
    """A text without cell magics below which nothing is left: IPython takes none without a body."""
    pattern = re.compile(rf"^({BORDER}\(\d+\)\n)({LINE}\((\d+)[^)]*\))\s*(?=^{BORDER}\(|\Z)", re.MULTILINE)

    def gone(match: re.Match[str]) -> str:
        said = source.table.texts[int(match[3])]
        return f"{match[1]}\n" if said.startswith("%%") and int(match[3]) not in source.table.whole else match[0]

    return pattern.sub(gone, text)
