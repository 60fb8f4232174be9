"""`--output-format json` against its schema, and what a reader of it relies on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from tests.run.commands import ASSUMED, BROKEN, COMPAT, EXACT, LEFT, PLAIN, write
from xf2sdpa import report
from xf2sdpa.cli import cli

SCHEMA = json.loads((Path(report.__file__).parent / "schema.json").read_text())
ALL = {"exact": EXACT, "assumed": ASSUMED, "left": LEFT, "broken": BROKEN, "plain": PLAIN}


def document(*arguments: str | Path, given: str | None = None) -> dict[str, Any]:
    result = CliRunner().invoke(cli, ["rewrite", "--output-format", "json", *map(str, arguments)], input=given)
    read: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(read, SCHEMA, cls=jsonschema.Draft202012Validator)
    return read


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("options", [(), ("--check",), ("--diff",), ("--verbose",), ("--quiet",), ("--only", "exact")])
def test_every_report_fits_the_schema(tmp_path: Path, options: tuple[str, ...]) -> None:
    read = document(*options, write(tmp_path, **ALL))
    assert read["written"] == (not {"--check", "--diff"} & set(options))


def test_what_a_report_holds(tmp_path: Path) -> None:
    folder = write(tmp_path, **ALL)
    read = document("--check", folder)
    assert read["totals"] == {
        "exact": 1,
        "assumed": 1,
        "compat": 0,
        "removed": 0,
        "left": 1,
        "files_changed": 2,
        "files_scanned": 5,
        "files_matched": 4,
    }
    assert read["torch"] == {"needs": "2.0", "pinned": None, "pinned_at": None, "too_old": False}
    files = {Path(file["path"]).stem: file for file in read["files"]}
    assert list(files) == ["assumed", "broken", "exact", "left"]
    (site,) = files["exact"]["sites"]
    assert site["id"] == f"{(folder / 'exact.py').as_posix()}::attend#0"
    assert (site["line"], site["column"], site["end_line"], site["end_column"]) == (7, 12, 7, 52)
    assert site["before"] == EXACT.splitlines()[6][11:51]
    assert site["after"].startswith("torch.nn.functional.scaled_dot_product_attention(")
    assert files["assumed"]["sites"][0]["assumptions"]
    left = files["left"]["sites"][0]
    assert (left["class"], left["code"], left["after"]) == ("left", "XF208", "")
    assert left["message"]
    assert left["advice"]
    (finding,) = (f for f in files["broken"]["findings"] if f["error"])
    assert finding["code"] == "XF901"


def test_a_site_keeps_its_id_when_the_file_is_rewritten(tmp_path: Path) -> None:
    write(tmp_path, both=LEFT.replace("attend", "other") + "\n\n" + EXACT)
    first, second = (document(tmp_path)["files"][0]["sites"] for _ in range(2))
    assert [site["class"] for site in first] == ["left", "exact"]
    assert [site["id"] for site in second] == [site["id"] for site in first if site["class"] == "left"]


def test_helper_modules_are_listed(tmp_path: Path) -> None:
    folder = write(tmp_path, model=COMPAT)
    (helper,) = document("--check", folder)["helpers"]
    assert Path(helper["path"]) == (folder / "_attention_compat.py").resolve()
    assert helper["new"]
    assert not helper["edited"]
    assert [Path(user).name for user in helper["users"]] == ["model.py"]
    assert document("--no-helper", folder)["helpers"] == []


def test_nothing_found_is_a_document_too(tmp_path: Path) -> None:
    read = document(write(tmp_path, plain=PLAIN))
    assert read["files"] == []
    assert read["torch"]["needs"] is None


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read = document("-", given=EXACT)
    assert read["files"][0]["path"] == "<stdin>"
    assert read["totals"]["exact"] == 1
