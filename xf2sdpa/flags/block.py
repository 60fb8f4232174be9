"""The block of flags in a file's text: where it is inserted, its lines, and its removal, exact to the byte.

    # xf2sdpa: H200 flags 1f6c02ab (xf2sdpa explain flags)
    torch.set_float32_matmul_precision("high")  # …
    # xf2sdpa: end of H200 flags

The eight digits are a digest of the lines between the marks: a block that does not match it was edited by hand.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from xf2sdpa.analysis.conditions import is_main_guard
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.analysis.spans import split_lines
from xf2sdpa.edits.selfcheck import CheckFailed
from xf2sdpa.flags.table import Flag

MARK = "# xf2sdpa: H200 flags"
_END = "# xf2sdpa: end of H200 flags"
_BREAK = r"(?:\r\n|\r|\n)"
_BLOCK = re.compile(
    rf"(?:(?<=[\r\n])|\A){re.escape(MARK)} (?P<digest>[0-9a-f]{{8}})[^\r\n]*"
    rf"(?P<body>.*?){_BREAK}{re.escape(_END)}(?=[\r\n]|\Z)",
    re.DOTALL,
)
_LONE = re.compile(
    rf"(?:(?<=[\r\n])|\A)[ \t]*(?P<mark>{re.escape(MARK)}|{re.escape(_END)})(?: [0-9a-f]{{8}}\b|[ \t]*(?=[(\r\n]|\Z))"
)
EDITED = "was edited by hand, so it stays as it is: delete it, both marks too, if it is not wanted so"
_WIDTH = 88
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPOUND = (ast.Try, ast.If, ast.With)
_IN_GUARDS = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr, ast.Pass, ast.Raise, *_COMPOUND)


@dataclass(frozen=True)
class Block:
    """A block in a text: its span, and whether it is as xf2sdpa wrote it."""

    start: int
    end: int
    untouched: bool


def find(text: str) -> Block | None:
    """The block of a text; None if it has none."""
    match = _BLOCK.search(text)
    if match is None:
        return None
    return Block(match.start(), match.end(), _digest(split_lines(match["body"])[1:]) == match["digest"])


def blanked(text: str) -> str:
    """The text with its blocks' lines made empty, so that the other lines keep their numbers."""
    return _BLOCK.sub(lambda match: re.sub(r"[^\r\n]", "", match[0]), text)


def damage(text: str) -> tuple[int, str] | None:
    """The first mark outside of a complete block: its line, from 1, and a message for the user; None without one."""
    rest = blanked(text)
    lone = [(len(split_lines(rest[: match.start()])) + 1, match["mark"]) for match in _LONE.finditer(rest)]
    quoted = _inside_strings(text) if lone else set()
    lone = [(line, mark) for line, mark in lone if line not in quoted]
    if not lone:
        return None
    marks = {mark for _, mark in lone}
    if marks == {MARK}:
        said = f"lost its last line, so it stays as it is: put `{_END}` back below its flags, or delete what is left"
    elif marks == {_END}:
        said = "lost its first line, so it stays as it is: delete what is left"
    else:
        said = EDITED
    return lone[0][0], f"the block {said}"


def line_of(text: str) -> int:
    """The line, from 1, on which the block starts; 1 if there is none."""
    block = find(text)
    return len(split_lines(text[: block.start])) + 1 if block is not None and block.start else 1


def without(text: str) -> str:
    """The text without its block and the blank line that was inserted with it."""
    block = find(text)
    if block is None:
        return text
    before, after = text[: block.start], text[block.end :]
    if before:
        return re.sub(rf"(?:{_BREAK}{_BREAK}|{_BREAK})\Z", "", before) + after
    return re.sub(rf"\A{_BREAK}{{1,2}}", "", after)


def with_flags(text: str, flags: Sequence[Flag]) -> str:
    """The text with a block that sets `flags`, inserted or updated; without a block if there are no flags.

    Raises:
        SyntaxError: the text is not Python.
        CheckFailed: the new text is not the old one plus a block.
    """
    plain = without(text)
    if not flags:
        return plain
    tree = ast.parse(plain)
    old = find(text)
    newline = _newline(plain)
    lines = newline.join(_lines(tree, flags))
    new = text[: old.start] + lines + text[old.end :] if old is not None else _inserted(plain, tree, lines, newline)
    _check(plain, tree, new)
    return new


def pasted(flags: Sequence[Flag]) -> list[str]:
    """The statements that set flags, for the user to paste where torch is imported."""
    imports = [f"import {flag.needs}" for flag in flags if flag.needs]
    return [*imports, *itertools.chain.from_iterable(_commented(flag, "torch") for flag in flags)]


def _commented(flag: Flag, torch: str) -> list[str]:
    """The lines that set a flag, with its comment: beside a short one, else above."""
    code = flag.code.format(torch=torch)
    line = f"{code}  # {flag.comment}"
    return [line] if len(line) <= _WIDTH and "\n" not in code else [f"# {flag.comment}", *code.split("\n")]


def _inserted(text: str, tree: ast.Module, lines: str, newline: str) -> str:
    """The text with the block after the imports and a blank line; at the top if nothing precedes it."""
    all_lines = split_lines(text)
    after = _place(tree, all_lines)
    if after == 0:
        return f"{lines}{newline}{newline}{text}"
    head = "".join(all_lines[:after])
    bare = re.sub(rf"{_BREAK}\Z", "", head)
    return f"{bare}{newline}{newline}{lines}{text[len(bare) :]}"


def _lines(tree: ast.Module, flags: Sequence[Flag]) -> list[str]:
    name, bound = _torch_name(tree), _plain_imports(tree)
    body = [
        f"import {module}" for module in sorted({flag.needs for flag in flags if flag.needs}) if module not in bound
    ]
    if name is None and any("{torch}" in flag.code for flag in flags):
        body.append("import torch")
    for flag in flags:
        body += _commented(flag, name or "torch")
    return [f"{MARK} {_digest(body)} (xf2sdpa explain flags)", *body, _END]


def _digest(body: Sequence[str]) -> str:
    stripped = "\n".join(line.rstrip() for line in body).strip("\n")
    return hashlib.sha256(stripped.encode()).hexdigest()[:8]


def _inside_strings(text: str) -> set[int]:
    """The lines that begin inside a string, where a mark is only quoted."""
    try:
        strings = parse_once(text).of(ast.JoinedStr, ast.Constant)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    return {line for node in strings for line in range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)}


def _newline(text: str) -> str:
    """The line ending of the first line."""
    match = re.search(_BREAK, text)
    return match[0] if match else "\n"


def _check(old: str, tree: ast.Module, new: str) -> None:
    """Check that the new text is the old one plus a block, both byte for byte and as parsed."""
    try:
        after = ast.parse(new)
    except SyntaxError as error:
        raise CheckFailed(f"the text with flags does not parse, line {error.lineno}") from error
    block = find(new)
    if block is None or not block.untouched or without(new) != old:
        raise CheckFailed("the flags could not be taken out again")
    first = line_of(new)
    last = first + len(split_lines(new[block.start : block.end])) - 1
    kept = [statement for statement in after.body if not first <= statement.lineno <= last]
    if [ast.dump(statement) for statement in kept] != [ast.dump(statement) for statement in tree.body]:
        raise CheckFailed("the flags changed a statement beside them")


# -- where it goes -----------------------------------------------------------------------------------


def _place(tree: ast.Module, lines: Sequence[str]) -> int:
    """The line after which the block goes: the end of the run of imports with torch's, else of the last such run."""
    run = _import_run(tree.body)
    last = tree.body[run].end_lineno or 0 if run is not None else _header(tree, lines)
    for statement in tree.body:  # not inside a statement that starts on the same line
        if statement.lineno <= last < (statement.end_lineno or 0):
            last = statement.end_lineno or last
    return last


def _import_run(body: Sequence[ast.stmt]) -> int | None:
    """The index of the last statement of the run of imports after which the flags go."""
    start = next((i for i, statement in enumerate(body) if _bound_torch(statement)), None)
    if start is None:
        above = itertools.takewhile(lambda s: not isinstance(s, _DEFINITIONS) and not is_main_guard(s), body)
        imports = [i for i, statement in enumerate(above) if isinstance(statement, ast.Import | ast.ImportFrom)]
        if not imports:
            return None
        start = imports[-1]
    while start + 1 < len(body) and _is_import(body[start + 1]):
        start += 1
    return start


def _header(tree: ast.Module, lines: Sequence[str]) -> int:
    """The last line of the docstring, else of the comments at the top; 0 if there are none."""
    if ast.get_docstring(tree, clean=False) is not None:
        return tree.body[0].end_lineno or 0
    count = 0
    while count < len(lines) and lines[count].startswith("#"):
        count += 1
    return count


def _is_import(statement: ast.stmt) -> bool:
    """Whether a statement is an import, or a `try` or `if` around imports."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return True
    if not isinstance(statement, ast.Try | ast.If) or is_main_guard(statement):
        return False
    inside = [part for part in ast.walk(statement) if isinstance(part, ast.stmt)]
    imports = any(isinstance(part, ast.Import | ast.ImportFrom) for part in inside)
    return imports and all(isinstance(part, _IN_GUARDS) for part in inside)


def _torch_name(tree: ast.Module) -> str | None:
    """The name of torch at the file's top level; None if it is not imported there."""
    return next((name for statement in tree.body if (name := _bound_torch(statement))), None)


def _bound_torch(statement: ast.stmt) -> str | None:
    """The name that a top-level statement certainly binds to torch; None if there is none."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.name == "torch":
                return alias.asname or "torch"
            if alias.name.startswith("torch.") and alias.asname is None:
                return "torch"
    if isinstance(statement, ast.Try | ast.With):
        return next((name for inner in statement.body if (name := _bound_torch(inner))), None)
    return None


def _plain_imports(tree: ast.Module) -> set[str]:
    """Modules that top-level statements import under their own names."""
    imports = (statement for statement in tree.body if isinstance(statement, ast.Import))
    return {alias.name for statement in imports for alias in statement.names if alias.asname is None}
