"""The report as SARIF 2.1.0, with the whole change of a file as the fix of its first result.

A call's edit alone would leave the file with an import too many or a name too few, so a fix is a file's, not a call's.
(https://docs.oasis-open.org/sarif/sarif/v2.1.0/; what GitHub takes of it: 25,000 results a run.)
"""

from __future__ import annotations

import json
from typing import Any

from xf2sdpa import __version__
from xf2sdpa.files.plain import plain_json
from xf2sdpa.model import FileResult, Pin, Run
from xf2sdpa.report.changes import fixable, hunks, split_lines
from xf2sdpa.report.entries import Entry, problems
from xf2sdpa.report.places import uri
from xf2sdpa.rewrite.pages import all_codes, explain

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MOST = 25_000
"""Results in one run; GitHub refuses a file with more."""


def render(run: Run, _: Pin | None, *, written: bool) -> str:
    """One SARIF log with one run."""
    return plain_json(json.dumps(document(run, written=written), indent=2, ensure_ascii=False)) + "\n"


def document(run: Run, *, written: bool) -> dict[str, Any]:
    """The log as plain data; what this run has solved is no result any more."""
    every = problems(run, written=written)
    told = every[:MOST]
    codes = sorted({entry.code for entry in told if entry.code})
    fixes = {} if written else {str(result.path): result for result in fixable(run)}
    results = []
    for entry in told:
        result = fixes.pop(entry.path, None) if entry.pending else None
        results.append(_result(entry, codes, _fixes(result, len(run.changed)) if result else []))
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "xf2sdpa", "version": __version__, "rules": [_rule(code) for code in codes]}
                },
                "columnKind": "unicodeCodePoints",
                "results": results,
                **({"invocations": [_cut_off(len(every) - len(told))]} if len(every) > len(told) else {}),
            }
        ],
    }


def _cut_off(number: int) -> dict[str, Any]:
    said = f"{number:,} more results, none worse than these, are left out: code scanning takes {MOST:,}."
    return {
        "executionSuccessful": True,
        "toolExecutionNotifications": [{"level": "warning", "message": {"text": said}}],
    }


def _rule(code: str) -> dict[str, Any]:
    title = all_codes().get(code, code)
    return {
        "id": code,
        "shortDescription": {"text": title},
        "fullDescription": {"text": title},
        "help": {"text": explain(code) or title},
        "properties": {"tags": ["xformers", "attention"]},
    }


def _result(entry: Entry, codes: list[str], fixes: list[dict[str, Any]]) -> dict[str, Any]:
    span = entry.span
    region = {"startLine": span.line, "startColumn": span.column + 1, "endLine": span.end_line}
    place: dict[str, Any] = {
        "artifactLocation": _artifact(entry.path),
        "region": {**region, "endColumn": span.end_column + 1},
    }
    location: dict[str, Any] = {"physicalLocation": place}
    if entry.name:
        location["logicalLocations"] = [{"fullyQualifiedName": entry.name.rpartition("#")[0], "kind": "function"}]
    return {
        **({"ruleId": entry.code, "ruleIndex": codes.index(entry.code)} if entry.code else {}),
        "level": entry.level.value,
        "message": {"text": ". ".join([f"{entry.kind}: {entry.message}", *entry.details])},
        "locations": [location],
        "partialFingerprints": {"xf2sdpa/v1": entry.fingerprint},
        **({"fixes": fixes} if fixes else {}),
    }


def _fixes(result: FileResult, together: int) -> list[dict[str, Any]]:
    lines = split_lines(result.old)
    replacements = [
        {
            "deletedRegion": {"startLine": hunk.first, "startColumn": 1, **_end(hunk.last, lines)},
            **({"insertedContent": {"text": hunk.text}} if hunk.text else {}),
        }
        for hunk in hunks(result.old, result.new)
    ]
    if not replacements:
        return []
    alone = "The whole rewrite of this file."
    others = f"{alone} The run changes {together} files, which may depend on one another: apply all."
    change = {"artifactLocation": _artifact(str(result.path)), "replacements": replacements}
    return [{"description": {"text": alone if together == 1 else others}, "artifactChanges": [change]}]


def _end(last: int, lines: list[str]) -> dict[str, int]:
    """The end of a stretch of whole lines: the start of the next one, or the end of a text without a last newline."""
    if last == len(lines) and lines and not lines[-1].endswith("\n"):
        return {"endLine": last, "endColumn": len(lines[-1]) + 1}
    return {"endLine": last + 1, "endColumn": 1}


def _artifact(path: str) -> dict[str, str]:
    name = uri(path)
    return {"uri": name} if name.startswith("file:") else {"uri": name, "uriBaseId": "%SRCROOT%"}
