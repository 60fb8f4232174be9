"""A rewrite of what came on standard input."""

from __future__ import annotations

from pathlib import Path

from xf2sdpa.files.notebook import Notebook, decode_any, is_notebook
from xf2sdpa.files.source import SourceError
from xf2sdpa.model import FileResult, Run
from xf2sdpa.rewrite.engine import rewrite_text
from xf2sdpa.run.matching import failed_result
from xf2sdpa.run.notebooks import fitted, tell_by_cells
from xf2sdpa.run.selected import leave_untold
from xf2sdpa.settings import Settings


def is_unnamed_notebook(data: bytes, name: str) -> bool:
    """Whether a text is a notebook's JSON, and its name does not say so: as Python it would come back unchanged."""
    return not is_notebook(name) and data.lstrip()[:1] == b"{" and b'"cells"' in data and b'"nbformat"' in data


def rewrite_bytes(data: bytes, name: str, settings: Settings, *, only_exact: bool = False) -> tuple[FileResult, bytes]:
    """Rewrite what came on standard input: the result, and the bytes to hand back."""
    try:
        source = decode_any(data, Path(name))
    except SourceError as error:
        return failed_result(error), data
    if source is None:  # a notebook of another language
        return FileResult(Path(name)), data
    result = rewrite_text(source.text, name, settings, only_exact=only_exact)
    if isinstance(source, Notebook):
        result = fitted(result, source, helped=False)
        run = Run([result])
        tell_by_cells(run, {result.path: source})
        leave_untold(run, settings)
    return result, source.encode(result.new)
