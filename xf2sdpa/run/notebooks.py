"""The last pass over the notebooks of a run: what is theirs alone, once it is known what became of all files.

New imports fit the cells; the helper module and H200 flags get cells of their own; install lines lose xformers where
nothing needs it any more; what is left is named; and all that the report tells is told cell by cell.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xf2sdpa.codes import ACROSS_CELLS, BROKEN_OFF, HELPER_CELL, KEPT_OUTPUTS, RUN_CODES
from xf2sdpa.console import told
from xf2sdpa.files.cells import lines_of
from xf2sdpa.files.magics import LINE, cell_magic
from xf2sdpa.files.notebook import BORDER, Notebook, Part, joined, part_at, parts
from xf2sdpa.files.source import SourceError
from xf2sdpa.flags import block
from xf2sdpa.helper.in_notebook import cell_with, helper_of
from xf2sdpa.helper.text import MODULE_NAME
from xf2sdpa.model import CellChange, FileResult, Finding, FindingKind, FlagsPlace, Run, Span

_IMPORTS_HELPER = re.compile(rf"^\s*(?:from {MODULE_NAME} import|import {MODULE_NAME}\b)", re.MULTILINE)
_MASKED = re.compile(rf"{LINE}\((\d+)[^)]*\)")
_LINE_NAMED = re.compile(r"line (\d+): ")
HELPER, FLAGS = "xf2sdpa-helper", "xf2sdpa-flags"
"""The ids of our own cells."""


class Misfit(Exception):
    """An edit does not fit the cells of a notebook; the message says why."""


@dataclass
class Cells:
    """The cells of a notebook's text on their way: number, or 0 and a name; and code."""

    found: list[tuple[int, str, str]]

    @classmethod
    def of(cls, text: str) -> Cells:
        """Those of a text, without what stands above the first."""
        return cls([(part.number, part.name, part.code) for part in parts(text)])

    @property
    def text(self) -> str:
        """The text that they make."""
        return joined((str(number) if number else f'"{name}"', code) for number, name, code in self.found)

    def put(self, index: int, code: str) -> None:
        """Give a cell other code."""
        number, name, _ = self.found[index]
        self.found[index] = number, name, code


def guarded(step: Callable[[FileResult, Notebook], FileResult], result: FileResult, source: Notebook) -> FileResult:
    """What a step makes of one notebook; an error of ours costs this one, and is told with it."""
    try:
        return step(result, source)
    except Misfit as misfit:
        return _as_it_was(source, ACROSS_CELLS, str(misfit))
    except Exception as error:  # whatever it is
        return _as_it_was(source, BROKEN_OFF, f"the work on it broke off: {told(error)}")


def _as_it_was(source: Notebook, code: str, why: str) -> FileResult:
    finding = Finding(str(source.path), Span(1, 0, 1, 0), code, why, RUN_CODES[code].way_out, FindingKind.ERROR)
    return FileResult(source.path, source.text, source.text, findings=[finding])


def fitted(result: FileResult, source: Notebook, helped: bool) -> FileResult:
    """The result for one notebook with its new text in the form of its cells; as it was where that does not fit them.

    Args:
        result: what the rewrite made of it.
        source: the notebook.
        helped: whether the helper module is to stand in a cell of it.
    """
    if result.failed or not result.changed:
        return result
    return guarded(functools.partial(_fitted, helped=helped), result, source)


def _fitted(result: FileResult, source: Notebook, *, helped: bool) -> FileResult:
    cells = _with_preamble(result.new, source)
    for index, (number, _, code) in enumerate(cells.found):
        cells.put(index, _tidied(source.cell(number).source, code))
    _check_imports(result.old, cells.text, source)
    if helped and result.compat_names:
        result.findings.append(_put_helper(cells, result, source))
    result.new = cells.text
    return result


def _with_preamble(text: str, source: Notebook) -> Cells:
    """The cells of a text; what was put above the first one goes to the first that can hold it."""
    cells = Cells.of(text)
    above = text[: text.index(f"{BORDER}(")].strip("\r\n")
    if not above:
        return cells
    for index, part in enumerate(parts(text)):
        if source.takes_imports(part) and part.code.strip():
            head = _magic_lines(source.table.restored(part.code))
            if "__future__" in part.code:
                break
            lines = lines_of(part.code)
            cells.put(index, "".join([*lines[:head], above, "\n", *lines[head:]]))
            return cells
    raise Misfit("the rewrite needs an import above all cells, and the first cell takes none")


def _magic_lines(source: str) -> int:
    """How many lines at the top of a cell belong to its magic."""
    if not cell_magic(source):
        return 0
    return 1 + next(n for n, line in enumerate(source.split("\n")) if line.strip().startswith("%%"))


def _tidied(old: str, code: str) -> str:
    """A cell's code without blank lines at its ends that were not there before."""
    if not old.startswith(("\n", "\r")):
        code = code.lstrip("\r\n")
    if not old.endswith("\n"):
        code = code.rstrip("\r\n")
    return code if code.strip() else ""


def _check_imports(old: str, new: str, source: Notebook) -> None:
    """Check that what cells read now and did not read before is imported by then.

    Raises:
        Misfit: it is imported in a cell below, or where only its own cell sees it.
    """
    before = _reads(ast.parse(old), list(parts(old)))
    tree, found = ast.parse(new), list(parts(new))
    imported = _imported(tree)
    for name, reader in sorted(_reads(tree, found) - before):
        home = part_at(found, imported[name]) if name in imported else None
        if home is None or home.number == reader:
            continue
        if home.number > reader:
            raise Misfit(f"cell {reader} would read `{name}`, which is imported in cell {home.number}, below it")
        if not source.takes_imports(home):
            raise Misfit(f"cell {reader} would read `{name}`, and cell {home.number} binds nothing for other cells")


def _imported(tree: ast.Module) -> dict[str, int]:
    """The names that imports at the top of a text bind, each with the first line that does."""
    found: dict[str, int] = {}
    for node in _at_top(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                found.setdefault(alias.asname or alias.name.partition(".")[0], node.lineno)
    return found


def _reads(tree: ast.Module, found: list[Part]) -> set[tuple[str, int]]:
    """The names that cells read as they are run, not within functions, each with the number of the cell."""
    names = (node for node in _at_top(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    return {(node.id, part_at(found, node.lineno).number) for node in names}


def _at_top(tree: ast.Module) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


# -- cells of our own ---------------------------------------------------------------------------------


def standing_helper(source: Notebook) -> str | None:
    """The helper module that stands in a cell of a notebook; None where none does."""
    found = (helper_of(cell.source) for cell in source.book.cells)
    return next((text for text in found if text is not None), None)


def _put_helper(cells: Cells, result: FileResult, source: Notebook) -> Finding:
    """Put the helper module into its cell, a new one above the first that imports it where there is none."""
    standing = standing_helper(source)
    code = cell_with(result.compat_names, standing)
    users = [n for n, (_, _, text) in enumerate(cells.found) if _IMPORTS_HELPER.search(text)]
    if not users:
        raise Misfit("the helper module would be used where no cell imports it")
    if standing is None:
        cells.found.insert(users[0], (0, HELPER, source.table.cell(code or "")))
    else:
        own = next(n for n, cell in enumerate(source.book.cells) if helper_of(cell.source) is not None)
        if own > users[0]:
            raise Misfit("the helper module stands in a cell below one that imports it")
        if code is not None:
            cells.put(own, source.table.cell(code))
    number = cells.found[users[0] + (standing is None)][0]
    said = f"the helper module stands in a cell of its own, above cell {number}"
    return Finding(str(result.path), Span(1, 0, 1, 0, number), HELPER_CELL, said, kind=FindingKind.DONE)


def set_flags_apart(result: FileResult) -> None:
    """Give a block of flags a cell of its own, below the one that it was put into; or take that cell away with it."""
    cells = Cells.of(result.new)
    before = {part.number: part.code for part in parts(result.old)}
    for index, (number, _, code) in enumerate(cells.found):
        found = block.find(code)
        if found is not None and found.untouched and block.find(before[number]) is None:
            cells.put(index, block.without(code))
            cells.found.insert(index + 1, (0, FLAGS, code[found.start : found.end]))
            break
        if not code.strip() and block.find(before[number]) is not None:
            del cells.found[index]
            break
    else:
        return
    result.new = cells.text


def spelt_out(result: FileResult, source: Notebook) -> FileResult:
    """A result whose new text holds the magics that this run put in as they are, not as masks.

    A mask is a number in the table of the notebook as it was read: another reader has no entry for a new one.
    """
    known = set(source.table.numbers_in(source.text))
    texts = source.table.texts
    result.new = _MASKED.sub(lambda m: m[0] if int(m[1]) in known else texts[int(m[1])], result.new)
    return result


# -- what is told -------------------------------------------------------------------------------------


def tell_by_cells(run: Run, notebooks: Mapping[Path, Notebook]) -> None:
    """Say of each site and finding in a notebook which cell it is in, and what changes in each cell."""
    texts = {str(result.path): result.new for result in run.results if result.path in notebooks}
    run.flags.places = [_in_its_cell(p, texts[p.path]) if p.path in texts else p for p in run.flags.places]
    for result in run.results:
        source = notebooks.get(result.path)
        if source is None:
            continue
        old = list(parts(source.text))
        result.sites = [
            replace(
                site,
                span=_in_cell(site.span, old),
                notes=tuple(replace(note, message=_said(note.message, source, old)) for note in site.notes),
            )
            for site in result.sites
        ]
        result.findings = [
            replace(f, span=_in_cell(f.span, old), message=_said(f.message, source, old)) for f in result.findings
        ]
        result.cells = tuple(_changes(result, source))
        result.cell_lines = {index + 1: lines for index, lines in source.book.lines_in_file().items()}
        outputs = [c.cell for c in result.cells if c.old is not None and source.cell(c.cell).has_outputs]
        if outputs:
            result.findings.append(_outputs_kept(result.path, outputs))
        _as_json(result, source)
        result.findings.sort(key=lambda finding: (finding.span.cell, finding.span.line, finding.span.column))


def _as_json(result: FileResult, source: Notebook) -> None:
    """Give a result the texts that stand in the file."""
    changed = result.changed and not result.failed
    try:
        new = source.with_cells(result.new) if changed else source.whole
    except SourceError as error:
        found = Finding(str(result.path), Span(1, 0, 1, 0), error.code, error.message, kind=FindingKind.ERROR)
        result.sites, result.findings, result.cells, new = [], [found], (), source.whole
    result.old, result.new = source.whole, new


def _in_cell(span: Span, old: Sequence[Part]) -> Span:
    if span.cell or not old:
        return span
    part = part_at(old, span.line)
    first = max(1, span.line - part.line)
    return Span(first, span.column, max(first, span.end_line - part.line), span.end_column, part.number)


def _said(message: str, source: Notebook, old: Sequence[Part]) -> str:
    """A message with magics as they are, and with the cell of a line that it names."""
    unmasked = _MASKED.sub(lambda match: source.table.texts[int(match[1])], message)
    if not (match := _LINE_NAMED.match(unmasked)) or not old:
        return unmasked
    part = part_at(old, int(match[1]))
    return f"cell {part.number}, line {int(match[1]) - part.line}: {unmasked[match.end() :]}"


def _changes(result: FileResult, source: Notebook) -> Iterator[CellChange]:
    """The cells that differ, by their number before; a new one by that of the cell that it stands above."""
    if not result.changed or result.failed:
        return
    before = {cell.index + 1: cell.source for cell in source.book.cells}
    found = list(parts(result.new))
    for index, part in enumerate(found):
        if not part.number:
            follows = next((p.number for p in found[index:] if p.number), len(source.book.spans) + 1)
            yield CellChange(follows, None, part.code)
        elif (code := source.table.restored(part.code)) != before[part.number]:
            yield CellChange(part.number, before[part.number], code)
    for number in sorted(before.keys() - {part.number for part in found}):
        yield CellChange(number, before[number], None)


def _outputs_kept(path: Path, cells: Collection[int]) -> Finding:
    listed = ", ".join(map(str, cells))
    said = f"the outputs kept with {'cell' if len(cells) == 1 else 'cells'} {listed} are those of the code before"
    return Finding(str(path), Span(1, 0, 1, 0, min(cells)), KEPT_OUTPUTS, said, RUN_CODES[KEPT_OUTPUTS].way_out)


def _in_its_cell(place: FlagsPlace, text: str) -> FlagsPlace:
    """Where flags stand in a notebook: the cell as it will be numbered, and the line in it."""
    shift = number = 0
    for part in parts(text):
        shift += not part.number
        number = part.number or number
        if (found := block.find(part.code)) is not None:
            line = part.code[: found.start].count("\n") + 1
            return replace(place, line=line, cell=number + shift)
    return replace(place, line=1, cell=1)
