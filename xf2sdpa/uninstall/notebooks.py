"""Notebooks whose code names xformers. They are not rewritten; but while one is there, xformers is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from xf2sdpa.codes import NOTEBOOK, RUN_CODES
from xf2sdpa.files.search import Searcher
from xf2sdpa.model import FileResult, Finding, FindingKind, Span

PATTERN = "*.ipynb"
_WORDS = re.compile(r"xformers|\bmslk\b", re.IGNORECASE)
_QUOTED = re.compile(r"""["'](?:xformers|mslk)(?![\w -])""")
"""A string that begins so names the package; another one may only speak of it."""
_ASIDE = re.compile(r'"""[\s\S]*?"""' r"|'''[\s\S]*?'''" r'|"(?:\\.|[^"\\\n])*"' r"|'(?:\\.|[^'\\\n])*'" r"|#[^\n]*")
"""Strings and comments."""


def is_notebook(file: str) -> bool:
    """Whether a file is one, by its name."""
    return file.endswith(".ipynb")


def naming_xformers(notebooks: Iterable[str]) -> Iterator[FileResult]:
    """Those of some notebooks that name xformers in a code cell, or cannot be read; each with a finding."""
    searcher = Searcher(notebooks)
    for path in searcher.first():
        reason = _reason(path)
        if reason:
            yield _result(path, reason)
    for path, why in searcher.unreadable:
        yield _result(path, f"cannot be read ({why})")


def _result(path: Path, reason: str) -> FileResult:
    message = f"a notebook that {reason}, and notebooks are not rewritten"
    finding = Finding(str(path), Span(1, 0, 1, 0), NOTEBOOK, message, RUN_CODES[NOTEBOOK].way_out, FindingKind.KEEPS)
    return FileResult(path, findings=[finding])


def _reason(path: Path) -> str:
    """What keeps xformers needed by a notebook that holds the word; nothing where it stands in outputs or prose."""
    try:
        book = json.loads(path.read_bytes())
        named = any(_names(source) for source in _code(book))
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except (ValueError, TypeError, AttributeError, RecursionError, MemoryError):
        return "holds the word xformers and is no notebook that can be read"
    return "names xformers" if named else ""


def _code(book: dict[str, Any]) -> Iterator[str]:
    """The source of each code cell, in the format of today and in that before it."""
    sheets = [book, *book.get("worksheets", ())]
    for cell in (cell for sheet in sheets for cell in sheet.get("cells", ())):
        if cell.get("cell_type") == "code":
            yield "".join(cell.get("source", cell.get("input", "")))


def _names(code: str) -> bool:
    """Whether code names xformers: imports it, asks for it, switches it on, installs it."""
    bare = _ASIDE.sub(lambda aside: aside[0] if _QUOTED.match(aside[0]) else '""', code)
    return _WORDS.search(bare) is not None
