"""Holds `gitea_api.json`, which was written by hand, against the types that are generated from Gitea's own description.

    npm pack gitea-js@1.23.0 && tar xzf gitea-js-1.23.0.tgz
    python -m tests.bot.compare_gitea package/dist/index.d.ts

Of requests every field must be there, with its type and no other; of answers, what the forge double gives. Exits with 1
where something differs.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BODIES = {
    "repoCreatePullRequest": "CreatePullRequestOption",
    "repoEditPullRequest": "EditPullRequestOption",
    "repoCreatePullReviewRequests": "PullReviewRequestOptions",
    "issueAddLabel": "IssueLabelsOption",
}
ANSWERS = {
    "repoGet": "Repository",
    "repoListPullRequests": "PullRequest",
    "repoCreatePullRequest": "PullRequest",
    "repoEditPullRequest": "PullRequest",
    "issueListLabels": "Label",
    "issueAddLabel": "Label",
}
KINDS = {"string": "string", "number": "integer", "boolean": "boolean"}


def fields(types: str, name: str) -> dict[str, str]:
    """The fields of an interface, with their types."""
    found = re.search(rf"interface {name} \{{(.*?)\n\}}", types, re.DOTALL)
    lines = re.findall(r'^ {4}"?(\w+)"?\??:\s*([^;]+);', found[1], re.MULTILINE) if found else []
    return {field: kind.strip() for field, kind in lines}


def of_body(types: str, name: str, schema: dict[str, Any]) -> Iterator[str]:
    theirs, ours = fields(types, name), schema["properties"]
    yield from (f"{name}.{field} is on one side only" for field in theirs.keys() ^ ours.keys())
    for field in theirs.keys() & ours.keys():
        wanted = "array" if theirs[field].endswith("[]") else KINDS[theirs[field]]
        if ours[field]["type"] != wanted:
            yield f"{name}.{field} is {theirs[field]}, not {ours[field]['type']}"


def of_answer(types: str, name: str, schema: dict[str, Any]) -> Iterator[str]:
    theirs = fields(types, name)
    given = schema.get("anyOf", [schema])[0]
    for field, ours in given.get("items", given).get("properties", {}).items():
        kind = ours.get("anyOf", [ours])[0].get("type")
        if field not in theirs:
            yield f"{name} has no {field}"
        elif theirs[field] in KINDS and kind != KINDS[theirs[field]]:
            yield f"{name}.{field} is {theirs[field]}, not {kind}"
        elif kind == "object":
            yield from of_answer(types, theirs[field], ours)


def compared(types: str, description: dict[str, Any]) -> Iterator[str]:
    """What differs."""
    for operation in (operation for methods in description["paths"].values() for operation in methods.values()):
        name = operation["operationId"]
        if name in BODIES:
            yield from of_body(types, BODIES[name], operation["requestBody"]["content"]["application/json"]["schema"])
        for answer in operation["responses"].values():
            yield from of_answer(types, ANSWERS[name], answer) if name in ANSWERS else ()


if __name__ == "__main__":
    published = Path(sys.argv[1]).read_text("utf-8")
    written = json.loads(Path(__file__).with_name("gitea_api.json").read_text("utf-8"))
    differences = list(compared(published, written))
    sys.stdout.write("".join(f"{line}\n" for line in differences) or "All as published.\n")
    sys.exit(bool(differences))
