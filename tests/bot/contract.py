"""Holds requests and answers against published descriptions of an API, cut to what is used."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema

HERE = Path(__file__).parent


class Violation(AssertionError):
    """A request or an answer that the description does not allow."""


class Contract:
    """One description."""

    def __init__(self, name: str) -> None:
        self._paths: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text("utf-8"))["paths"]
        self.seen: set[str] = set()

    def request(self, method: str, target: str, body: Any) -> str:
        """The operation that a request is; raises `Violation` if it is none, or not as it should be."""
        split = urlsplit(target)
        for path, methods in self._paths.items():
            match = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path), split.path)
            if match and method.lower() in methods:
                operation = methods[method.lower()]
                break
        else:
            raise Violation(f"no such operation: {method} {split.path}")
        parameters = {(item["in"], item["name"]): item for item in operation.get("parameters", [])}
        given = {("path", key): unquote(value) for key, value in match.groupdict().items()}
        given |= {("query", key): value for key, value in parse_qsl(split.query, strict_parsing=bool(split.query))}
        for key, value in given.items():
            if key not in parameters:
                raise Violation(f"{operation['operationId']} has no parameter {key}")
            _check(_typed(value, parameters[key]["schema"]), parameters[key]["schema"], str(key))
        missing = {key for key, item in parameters.items() if item.get("required")} - set(given)
        if missing:
            raise Violation(f"{operation['operationId']} lacks {missing}")
        self._body(operation, body)
        self.seen.add(operation["operationId"])
        return str(operation["operationId"])

    def _body(self, operation: dict[str, Any], body: Any) -> None:
        asked = operation.get("requestBody") or {}
        if not asked:
            if body is not None:
                raise Violation(f"{operation['operationId']} takes no body")
            return
        schema = asked["content"]["application/json"]["schema"]
        _check(body, schema, operation["operationId"])
        if isinstance(body, dict) and "properties" in schema and not set(body) <= set(schema["properties"]):
            raise Violation(f"{operation['operationId']} has no {set(body) - set(schema['properties'])}")

    def answer(self, operation: str, status: int, body: Any) -> None:
        """See to it that an answer is of the description's types."""
        for methods in self._paths.values():
            for described in methods.values():
                if described["operationId"] == operation and str(status) in described["responses"]:
                    _check(body, described["responses"][str(status)], f"answer of {operation}")


@cache
def contract(name: str) -> Contract:
    return Contract(name)


def _typed(value: str, schema: dict[str, Any]) -> Any:
    return int(value) if schema.get("type") == "integer" and value.isdigit() else value


def _check(value: Any, schema: dict[str, Any], where: str) -> None:
    try:
        jsonschema.Draft202012Validator(schema).validate(value)
    except jsonschema.ValidationError as error:
        raise Violation(f"{where}: {error.message}") from None
