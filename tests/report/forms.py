"""The forms that readers of a report publish, and files of every outcome to report on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
from lxml import etree

from tests.run.commands import ASSUMED, BROKEN, COMPAT, EXACT, LEFT, PLAIN

SCHEMAS = Path(__file__).parent / "schemas"
ALL = {"exact": EXACT, "assumed": ASSUMED, "left": LEFT, "broken": BROKEN, "plain": PLAIN, "helped": COMPAT}


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / name).read_text("utf-8"))


def checked(name: str, text: str) -> Any:
    """The report, read; it must have the form that its readers publish."""
    if name == "junit":
        tree = etree.fromstring(text.encode())
        etree.XMLSchema(etree.parse(str(SCHEMAS / "junit-10.xsd"))).assertValid(tree)
        return tree
    read = json.loads(text)
    form = {"sarif": "sarif-2.1.0-rtm.5.json", "gitlab": "gitlab-codequality.json", "rdjson": "rdjson.json"}[name]
    validator = jsonschema.validators.validator_for(schema(form))
    validator(schema(form), format_checker=validator.FORMAT_CHECKER).validate(read)
    return read
