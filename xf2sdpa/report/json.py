"""The report a program reads. Its form is `schema.json` beside this file.

`version` grows when a key changes its meaning or goes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xf2sdpa import __version__
from xf2sdpa.files.plain import plain_json
from xf2sdpa.flags.table import named
from xf2sdpa.model import (
    CellChange,
    Closing,
    Copy,
    FileResult,
    Finding,
    FlagsOutcome,
    Note,
    Pin,
    Run,
    Site,
    SiteClass,
    Span,
    TorchVersion,
)

FORMAT_VERSION = 1


def render(run: Run, pin: Pin | None, *, written: bool) -> str:
    """The whole report as one JSON document."""
    return plain_json(json.dumps(document(run, pin, written=written), indent=2, ensure_ascii=False)) + "\n"


def document(run: Run, pin: Pin | None, *, written: bool) -> dict[str, Any]:
    """The report as plain data."""
    return {
        "version": FORMAT_VERSION,
        "tool": {"name": "xf2sdpa", "version": __version__},
        "written": written,
        "torch": {
            "needs": _version(run.torch_floor),
            "pinned": _version(pin[0]) if pin else None,
            "pinned_at": pin[1] if pin else None,
            "too_old": run.torch_too_old,
        },
        "totals": {kind.value: run.count(kind) for kind in SiteClass} | _counts(run),
        "codes": run.codes(),
        "helpers": [_helper(copy) for copy in run.copies],
        "flags": _flags(run.flags),
        "not_needed": [{"path": listed.path, "line": listed.line, "text": listed.text} for listed in run.listed],
        "closing": _closing(run.closing) if run.closing else None,
        "uncommitted": [Path(path).as_posix() for path in run.uncommitted],
        "files": [_file(result) for result in run.results],
    }


def _closing(closing: Closing) -> dict[str, Any]:
    return {
        "can_be_uninstalled": closing.can_go,
        "requirements_edited": closing.edited,
        "requirements": [
            {"path": c.path, "line": c.line, "was": c.was, "now": c.now, "why": c.why, "empty_extra": c.extra}
            for c in closing.requirements
        ],
        "mentions": [
            {
                "path": m.path,
                "line": m.line,
                "kind": m.kind,
                "bearing": m.bearing.value,
                "text": m.text,
                "advice": m.advice,
                "lines": m.count,
                "code": m.code,
            }
            for m in closing.mentions
        ],
    }


def _counts(run: Run) -> dict[str, int]:
    scanned = {} if run.scanned is None else {"files_scanned": run.scanned, "files_matched": run.matched}
    return {"files_changed": len(run.changed), **scanned}


def _helper(copy: Copy) -> dict[str, Any]:
    return {
        "path": copy.path.as_posix(),
        "new": copy.old is None,
        "edited": copy.text is None,
        "missing": list(copy.missing),
        "users": sorted(user.as_posix() for user in copy.modules),
    }


def _flags(outcome: FlagsOutcome) -> dict[str, Any]:
    return {
        "wanted": [
            {"name": flag.name, "code": flag.code.format(torch="torch"), "effect": flag.effect, "numbers": flag.numbers}
            for flag in named(outcome.wanted)
        ],
        "places": [
            {
                "path": place.path,
                "line": place.line,
                "code": place.code,
                "flags": list(place.flags),
                "why": place.why,
                "theirs": list(place.theirs),
                "reasons": list(place.reasons),
                "lacking": list(place.lacking),
                **({"cell": place.cell} if place.cell else {}),
            }
            for place in outcome.places
        ],
        "paste": list(outcome.paste),
        "many": list(outcome.many),
    }


def _file(result: FileResult) -> dict[str, Any]:
    return {
        "path": result.path.as_posix(),
        "changed": result.changed,
        "sites": [_site(site) for site in result.sites],
        "findings": [_finding(finding) for finding in result.findings],
        **({"old": result.old} if result.changed else {}),
        **({"cells": [_cell(cell) for cell in result.cells]} if result.cells else {}),
    }


def _cell(change: CellChange) -> dict[str, Any]:
    return {"cell": change.cell, "old": change.old, "new": change.new}


def _site(site: Site) -> dict[str, Any]:
    return {
        "id": site.identity,
        "qualname": site.qualname,
        "ordinal": site.ordinal,
        "class": site.kind.value,
        "code": site.code,
        "message": site.message,
        "advice": site.advice,
        "assumptions": list(site.assumptions),
        "notes": [_note(note) for note in site.notes],
        "before": site.before,
        "after": site.after,
        "torch": _version(site.torch_floor),
        **_place(site.span),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "message": finding.message,
        "advice": finding.advice,
        "kind": finding.kind.value,
        "error": finding.is_error,
        **_place(finding.span),
    }


def _note(note: Note) -> dict[str, str]:
    return {"code": note.code, "message": note.message, "advice": note.advice}


def _place(span: Span) -> dict[str, int]:
    """Lines and columns from 1, the end exclusive; the cell of a notebook."""
    return {
        "line": span.line,
        "column": span.column + 1,
        "end_line": span.end_line,
        "end_column": span.end_column + 1,
        **({"cell": span.cell} if span.cell else {}),
    }


def _version(version: TorchVersion | None) -> str | None:
    return ".".join(map(str, version)) if version else None
