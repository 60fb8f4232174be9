"""A run as JSON, and back: from the document, a page can be made later and on another machine."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from xf2sdpa.bench.model import (
    FORMAT_VERSION,
    Ceiling,
    Entry,
    ModuleResult,
    Outcome,
    Result,
    Selection,
    ShapeResult,
    Verdict,
)
from xf2sdpa.timing.model import Environment, Timing

TOOL = "xf2sdpa bench"


class FormatError(Exception):
    """A document is not a report of `bench`, or of another version; the message is for the user."""


def render(result: Result) -> str:
    """The document; `schema.json`, beside this file, is its schema."""
    document = {"tool": TOOL, "version": FORMAT_VERSION, **dataclasses.asdict(result)}
    return json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"


def parse(text: str) -> Result:
    """A run from its document.

    Raises:
        FormatError: it is not JSON, not from this tool, or of another version.
    """
    try:
        document = json.loads(text)
        if document["tool"] != TOOL or document["version"] != FORMAT_VERSION:
            raise FormatError(f"not a report of {TOOL}, version {FORMAT_VERSION}")
        return _result(document)
    except FormatError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"not a report of {TOOL}: {type(error).__name__}: {error}") from error


def _result(document: dict[str, Any]) -> Result:
    plain = ("is_gpu", "budget", "seconds", "notes", "cut")
    return Result(
        environment=Environment(**document["environment"]),
        ceilings=[Ceiling(**part) for part in document["ceilings"]],
        selections=[Selection(**part) for part in document["selections"]],
        shapes=[_shape(part) for part in document["shapes"]],
        modules=[_module(part) for part in document["modules"]],
        outcomes=[Outcome(**part | {"verdict": Verdict(part["verdict"])}) for part in document["outcomes"]],
        **{name: document[name] for name in plain},
    )


def _timing(part: dict[str, Any] | None) -> Timing | None:
    return Timing(**part) if part else None


def _shape(part: dict[str, Any]) -> ShapeResult:
    entries = tuple(Entry(**entry | {"timing": _timing(entry["timing"])}) for entry in part["entries"])
    return ShapeResult(**part | {"entries": entries})


def _module(part: dict[str, Any]) -> ModuleResult:
    return ModuleResult(**part | {name: _timing(part[name]) for name in ("forward", "step")})
