"""JSON against its schema and back, text, Markdown and page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.bench import samples
from xf2sdpa.bench import report
from xf2sdpa.bench.guide import CLAIMS
from xf2sdpa.bench.model import GUIDE_SHAPE, Result, Verdict
from xf2sdpa.bench.report import html, markdown, tables, text
from xf2sdpa.bench.report import json as document

SCHEMA = json.loads((Path(report.__file__).parent / "schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

RUNS = {
    "H200": samples.result(),
    "CPU": samples.result("cpu"),
    "without xformers": samples.result(shapes=[samples.shape(GUIDE_SHAPE, ("xformers", "xformers_fa2", "sdpa_math"))]),
    "nothing": samples.result(shapes=[], modules=[], ceilings=[], selections=[], cut=["shapes: left out by --only"]),
}


@pytest.fixture(params=RUNS, ids=str)
def run(request: pytest.FixtureRequest) -> Result:
    return RUNS[request.param]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_json_fits_the_schema_and_comes_back(run: Result) -> None:
    written = document.render(run)
    VALIDATOR.validate(json.loads(written))
    assert document.parse(written) == run


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("outcomes", 0, "verdict"), "perhaps"),
        (("outcomes", 3, "measured"), ""),
        (("shapes", 0, "entries", 0, "timing"), None),
        (("shapes", 0, "forward_flops"), 0),
        (("ceilings", 0, "name"), "matmul int8"),
        (("version",), 2),
    ],
)
def test_the_schema_refuses_what_cannot_be(path: tuple[Any, ...], value: Any) -> None:
    read = json.loads(document.render(RUNS["H200"]))
    place = read
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not VALIDATOR.is_valid(read)


@pytest.mark.parametrize("given", ["", "{}", "[]", '{"tool": "xf2sdpa bench", "version": 99}', '{"tool": "other"}'])
def test_what_is_no_report_is_refused(given: str) -> None:
    with pytest.raises(document.FormatError):
        document.parse(given)


def test_text_has_every_claim_with_both_figures(run: Result) -> None:
    told = "\n".join(text.lines(run, verbose=True))
    flat = re.sub(r"\s+", " ", told)
    for outcome in run.outcomes:
        assert f"{outcome.verdict.value}: “{tables.said(outcome)}” the guide: {outcome.guide}; here: " in flat
        assert re.sub(r"\s+", " ", outcome.measured or outcome.reason) in flat
    assert f"{len(CLAIMS)} claims: " in told
    for line in run.cut:
        assert f"Not measured: {line}" in told


def test_on_a_cpu_the_claims_that_it_cannot_judge_are_one_line() -> None:
    run = RUNS["CPU"]
    told = "\n".join(text.lines(run))
    opinions = [outcome for outcome in run.outcomes if outcome.verdict is Verdict.OPINION]
    assert f"? {len(run.outcomes) - len(opinions)} claims not measured here" in told
    assert told.count(Verdict.NOT_JUDGED.value) == 2, "that line, and the totals"
    for outcome in opinions:
        assert tables.said(outcome) in re.sub(r"\s+", " ", told)


def test_on_a_gpu_each_claim_that_was_not_measured_stands_with_its_reason() -> None:
    run = RUNS["without xformers"]
    assert list(text.lines(run)) == list(text.lines(run, verbose=True))


def test_a_cpu_says_that_it_is_one() -> None:
    assert tables.CPU_NOTE in "\n".join(text.lines(RUNS["CPU"]))
    assert tables.CPU_NOTE in markdown.render(RUNS["CPU"]).replace("\\", "")
    assert "nothing here says anything about a GPU" in html.render(RUNS["CPU"])
    assert tables.CPU_NOTE not in "\n".join(text.lines(RUNS["H200"]))


def test_what_is_missing_is_explained_in_every_format() -> None:
    run = RUNS["without xformers"]
    for told in ("\n".join(text.lines(run)), markdown.render(run).replace("\\", ""), html.render(run)):
        assert "label of xformers" in told
        assert "not there" in told


def test_the_guides_table_stands_beside_the_figures() -> None:
    table = tables.guide_shape(RUNS["H200"])
    rows = {row[0]: row for row in table.rows}
    assert rows["label of sdpa"][1:4] == ("4.21 ms, 1.0x", "0.300", "1.00x")
    assert rows["label of standard"][1:4] == ("12.84 ms, 0.3–0.5x", "4.000", "0.07x")
    assert rows["label of sdpa"][5] == "0.27"
    assert rows["label of sdpa"][6] == "457 (61%)"


def test_a_ratio_compares_like_with_like() -> None:
    shape = samples.shape(inline=2.0, xformers=3.0)
    assert tables.old_new(shape) == pytest.approx(1.5)
    assert tables.fastest_backend(samples.shape(sdpa=0.3, sdpa_efficient=0.2)) == ("EFFICIENT", pytest.approx(1.5))


def test_markdown_tables_are_tables(run: Result) -> None:
    lines = markdown.render(run).splitlines()
    for number, line in enumerate(lines):
        if re.fullmatch(r"\|(-+:?\|)+", line):
            width = line.count("|")
            block = [lines[number - 1], *lines[number + 1 :]]
            for row in block[: next((at for at, text in enumerate(block) if not text.startswith("|")), len(block))]:
                assert len(re.findall(r"(?<!\\)\|", row)) == width, row


def test_the_page_stands_alone(run: Result) -> None:
    page = html.render(run)
    assert not re.search(r"<script|<link [^>]*href=(?!.data:)|src=|url\((?!.?(#|data:))|@import", page)
    for claim in CLAIMS:
        assert f'<td class="text ">{claim.guide}'.split(">")[0] in page
    assert page.count("<svg") >= (3 if run.is_gpu and run.shapes else 0)


def test_the_guides_figures_are_marked_where_the_shape_is_the_guides() -> None:
    chart = html.times(RUNS["H200"])
    assert chart
    assert {bar.mark for group in chart.groups for bar in group.bars} == {None, 4.21, 4.19, 4.23, 12.84}
    chart = html.times(RUNS["CPU"])
    assert chart
    assert {bar.mark for group in chart.groups for bar in group.bars} == {None}


def test_flash_attention_4_is_advised_at_the_shapes_where_it_is_faster() -> None:
    found = [samples.shape("16k, causal", sdpa=1.0, sdpa_fa4=0.88), samples.shape("ViT", sdpa=1.0, sdpa_fa4=1.5)]
    (note,) = tables.flash4_advice(found)
    assert "faster at 16k, causal 1.14x; slower at ViT 0.67x." in note
    assert "--flags fa4" in note
    assert note in " ".join(" ".join(text.lines(samples.result(shapes=found))).split())
    (note,) = tables.flash4_advice(found[1:])
    assert "faster at none" in note
    assert "--flags" not in note
    assert tables.flash4_advice([samples.shape()]) == []
