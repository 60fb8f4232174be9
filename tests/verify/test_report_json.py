"""The JSON report of verify: its schema, and the way back."""

from __future__ import annotations

import dataclasses
import json as standard
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.page import samples
from xf2sdpa.judging.model import Case, Check
from xf2sdpa.timing.model import Environment, Timing
from xf2sdpa.verify import report as package
from xf2sdpa.verify.model import Report, SiteReport
from xf2sdpa.verify.report import json

SCHEMA: dict[str, Any] = standard.loads((Path(package.__file__).parent / "schema.json").read_text())
SAMPLES = {
    "xformers": samples.report(),
    "reference": samples.report(reference=True),
    "empty": Report(samples.REFERENCE),
}


def strict(text: str) -> Any:
    """JSON as every other reader knows it, without Python's own `NaN`."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return standard.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("report", SAMPLES.values(), ids=SAMPLES)
def test_every_report_fits_the_schema_and_comes_back(report: Report) -> None:
    text = json.render(report)
    jsonschema.validate(strict(text), SCHEMA, cls=jsonschema.Draft202012Validator)
    again = json.load(text)
    # Text is compared: NaN is not equal to itself.
    assert json.render(again) == text
    assert [type(site.status) for site in again.sites] == [type(site.status) for site in report.sites]
    assert again.environment == report.environment


def test_what_comes_back_is_the_same_data() -> None:
    report = samples.report(reference=True)
    report.sites = [site for site in report.sites if "Swapped" not in site.id]
    assert json.load(json.render(report)) == report


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Environment, "environment"), (SiteReport, "site"), (Case, "case"), (Check, "check"), (Timing, "timing")],
)
def test_the_schema_names_every_field(kind: Any, name: str) -> None:
    fields = {"class" if field.name == "kind" else field.name for field in dataclasses.fields(kind)}
    part = SCHEMA["$defs"][name]
    assert part["properties"].keys() == fields
    assert set(part["required"]) == fields


def test_the_schema_refuses_what_is_not_a_report() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    document = strict(json.render(samples.report()))
    document["sites"][0]["status"] = "fine"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_totals_and_the_opponent() -> None:
    document = strict(json.render(samples.report()))
    sites = {"agrees": 8, "differs": 1, "not run": 2, "not shadowed": 1}
    assert document["totals"] == sites | {"compared": 16 + 0, "refused": 0}
    assert document["against"] == "xformers"
    assert strict(json.render(samples.report(reference=True)))["against"] == "reference"


def test_a_newer_release_may_add_keys_and_an_older_one_lack_some() -> None:
    document = strict(json.render(samples.report()))
    document["new"] = document["sites"][0]["new"] = 1
    del document["sites"][0]["speed_note"], document["notes"]
    read = json.load(standard.dumps(document))
    assert read.sites[0].speed_note == ""
    assert read.notes == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ("[]", "not a report"),
        ('{"version": 1, "files": []}', "not a report"),
        ('{"version": 2, "environment": {}}', "format 2"),
        ('{"version": 1, "environment": {"seed": 0}}', "not a report"),
        ('{"version": 1, "environment": 5}', "not a report"),
    ],
)
def test_what_is_not_a_report_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        json.load(text)
