"""Cuts GitHub's OpenAPI description down to the operations that the bot uses.

    npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-23.0.2.tgz
    python -m tests.bot.cut_openapi package/generated/api.github.com.json > tests/bot/github_api.json

Requests are kept whole. Of answers, the properties are kept that the forge double gives.
"""

from __future__ import annotations

import json
import sys
from typing import Any

SOURCE = "npm @octokit/openapi 23.0.2, api.github.com.json, which is github/rest-api-description; MIT licence"
OPERATIONS = {
    "/repos/{owner}/{repo}": ("get",),
    "/repos/{owner}/{repo}/pulls": ("get", "post"),
    "/repos/{owner}/{repo}/pulls/{pull_number}": ("patch",),
    "/repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers": ("post",),
    "/repos/{owner}/{repo}/issues/{issue_number}/labels": ("post",),
}
ANSWERED = {
    *("number", "html_url", "state", "title", "body", "draft", "merged_at", "head", "base", "ref", "label", "repo"),
    *(
        "full_name",
        "default_branch",
        "permissions",
        "archived",
        "fork",
        "parent",
        "push",
        "pull",
        "admin",
        "name",
        "id",
    ),
}
DROPPED = {"description", "examples", "example", "x-github", "x-octokit", "externalDocs", "tags", "summary", "title"}


def cut(document: dict[str, Any]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for path, methods in OPERATIONS.items():
        for method in methods:
            operation = document["paths"][path][method]
            answers = {status: answer for status, answer in operation["responses"].items() if status in ("200", "201")}
            paths.setdefault(path, {})[method] = {
                "operationId": operation["operationId"],
                "parameters": [_resolved(item, document, 9) for item in operation.get("parameters", [])],
                "requestBody": _resolved(operation.get("requestBody", {}), document, 9),
                "responses": {status: _answer(answer, document) for status, answer in answers.items()},
            }
    return {"source": SOURCE, "openapi": document["openapi"], "version": document["info"]["version"], "paths": paths}


def _answer(answer: dict[str, Any], document: dict[str, Any]) -> Any:
    schema = _deref(answer, document)["content"]["application/json"]["schema"]
    return _resolved(schema, document, 5, answered=True)


def _deref(node: Any, document: dict[str, Any]) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def _resolved(node: Any, document: dict[str, Any], depth: int, *, answered: bool = False) -> Any:
    """The schema without references; `nullable` becomes a type of its own, as in JSON Schema."""
    node = _deref(node, document)
    if isinstance(node, list):
        return [_resolved(item, document, depth, answered=answered) for item in node]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":
            kept = {name: item for name, item in value.items() if not answered or name in ANSWERED}
            made[key] = {
                name: _resolved(item, document, depth - 1, answered=answered) if depth else {}
                for name, item in kept.items()
            }
        elif key not in DROPPED and not (answered and key in ("required", "example", "default")):
            made[key] = _resolved(value, document, depth, answered=answered)
    if made.pop("nullable", False):
        return {"anyOf": [made, {"type": "null"}]}
    return made


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as stream:  # noqa: PTH123
        json.dump(cut(json.load(stream)), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
