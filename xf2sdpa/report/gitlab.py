"""The report as GitLab's code quality report: a list of problems, each known by its fingerprint.

(https://docs.gitlab.com/ci/testing/code_quality/, "Code Quality report format".)
"""

from __future__ import annotations

import json
from typing import Any

from xf2sdpa.files.plain import plain, plain_json
from xf2sdpa.model import Pin, Run
from xf2sdpa.report.entries import Entry, Level, problems, sentences
from xf2sdpa.report.places import from_root

_SEVERITIES = {Level.ERROR: "critical", Level.WARNING: "minor", Level.NOTE: "info"}


def render(run: Run, _: Pin | None, *, written: bool) -> str:
    """A JSON list; what this run has solved is not in it."""
    told = [_problem(entry) for entry in problems(run, written=written)]
    return plain_json(json.dumps(told, indent=2, ensure_ascii=False)) + "\n"


def _problem(entry: Entry) -> dict[str, Any]:
    span = entry.span
    return {
        "check_name": entry.code or "xf2sdpa",
        "description": sentences([f"{entry.code} {entry.kind}: {entry.message}".strip(), *entry.details]),
        "severity": _SEVERITIES[entry.level],
        "fingerprint": entry.fingerprint,
        "location": {
            "path": plain(from_root(entry.path)),
            "positions": {
                "begin": {"line": span.line, "column": span.column + 1},
                "end": {"line": span.end_line, "column": span.end_column + 1},
            },
        },
    }
