"""A rewrite of what came on standard input."""

from __future__ import annotations

from pathlib import Path

from xf2sdpa.files.source import SourceError, decode
from xf2sdpa.model import FileResult
from xf2sdpa.rewrite.engine import rewrite_text
from xf2sdpa.run.matching import failed_result
from xf2sdpa.settings import Settings


def rewrite_bytes(data: bytes, name: str, settings: Settings, *, only_exact: bool = False) -> tuple[FileResult, bytes]:
    """Rewrite what came on standard input: the result, and the bytes to hand back."""
    try:
        source = decode(data, Path(name))
    except SourceError as error:
        return failed_result(error), data
    result = rewrite_text(source.text, name, settings, only_exact=only_exact)
    return result, source.encode(result.new)
