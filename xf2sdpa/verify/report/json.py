"""The report as JSON, and back. Its schema is `schema.json` beside this file.

Keys are the field names of `verify.model`; `verify.plain` lists the exceptions.
"""

from __future__ import annotations

import json
from typing import Any

from xf2sdpa import __version__
from xf2sdpa.files.plain import plain_json
from xf2sdpa.verify.model import FORMAT_VERSION, Report, Status
from xf2sdpa.verify.plain import made, plain

# Until `verify.shadow` and `verify.merge` take them from `verify.plain`.
_plain, _made = plain, made


def render(report: Report) -> str:
    """The whole report as one JSON document."""
    return plain_json(json.dumps(document(report), indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def document(report: Report) -> dict[str, Any]:
    """The report as plain data."""
    return {
        "version": FORMAT_VERSION,
        "tool": {"name": "xf2sdpa", "version": __version__},
        "against": "reference" if report.environment.is_reference else "xformers",
        "totals": {status.value: report.count(status) for status in Status}
        | {"compared": report.compared, "refused": report.refused},
        **plain(report),
    }


def load(text: str) -> Report:
    """A report from the text that `render` made, also of another release if its `version` is the same.

    Raises:
        ValueError: the text is not such a report.
    """
    data = json.loads(text)
    if not isinstance(data, dict) or "environment" not in data:
        raise ValueError("not a report of xf2sdpa verify")
    if data.get("version") != FORMAT_VERSION:
        raise ValueError(f"a report of format {data.get('version')}, and this release reads {FORMAT_VERSION}")
    try:
        return made(Report, data)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a report of xf2sdpa verify: {error}") from error
