"""The claims against the guide's own text, and the verdicts that figures lead to."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from tests.bench import samples
from xf2sdpa.bench.guide import CLAIMS, FIGURES
from xf2sdpa.bench.model import GUIDE_SHAPE, Ceiling, Outcome, Result, Selection, Verdict

GUIDE = (Path(__file__).parent / "performance_guide.txt").read_text("utf-8")
"""The guide as this project was given it."""

NO_CLAIM = {
    "Configuration: Batch=32, Seq=1024, Dim=1024, Heads=16",
    "Memory Usage (GB):",
    "| Implementation | Relative Speed | Memory Usage | Compatibility |",
}
"""Lines that state no fact about performance: captions of figures that have claims of their own."""

CODE = re.compile(
    r"^(import |from |model = |output = |\)|with |nn\.|d_model=|nhead=|num_layers=|# Enable H200|torch\.backends)"
)


def quotes() -> list[str]:
    return [part for claim in CLAIMS for part in claim.quote.split(" … ")]


def test_every_quote_is_the_guides_own() -> None:
    assert [quote for quote in quotes() if quote not in GUIDE] == []


def test_every_line_of_the_guide_is_a_claim_a_heading_or_code() -> None:
    left = []
    for line in map(str.strip, GUIDE.splitlines()):
        if not line or line.startswith(("## ", "### ", "# Performance Guide", "```", "|---")) or line in NO_CLAIM:
            continue
        if not any(quote in line or line in quote for quote in quotes()) and not CODE.match(line):
            left.append(line)
    assert left == []


def test_a_claims_section_is_the_heading_above_it() -> None:
    for claim in CLAIMS:
        first = claim.quote.split(" … ")[0]
        headings = re.findall(r"^##+ (.+)$", GUIDE[: GUIDE.index(first)], re.MULTILINE)
        assert headings[-1] == claim.section, claim.id


def test_the_figures_are_the_guides_own() -> None:
    for figures in FIGURES.values():
        assert f"{figures.milliseconds}ms per forward" in GUIDE
        assert f"{figures.gigabytes} GB" in GUIDE
        assert figures.speed.replace("–", "-") in GUIDE


def test_ids_are_distinct() -> None:
    ids = [claim.id for claim in CLAIMS]
    assert len(set(ids)) == len(ids)


def outcomes(result: Result) -> dict[str, Outcome]:
    return {outcome.id: outcome for outcome in result.outcomes}


EXPECTED = {
    "not-needed": "opinion",
    "just-as-fast": "holds",
    "sdpa-memory": "holds",
    "xformers-speed": "does not hold here",
    "xformers-memory": "holds",
    "flash-speed": "does not hold here",
    "flash-memory": "holds",
    "standard-speed": "does not hold here",
    "standard-memory": "holds",
    "compatibility": "opinion",
    "best-kernel": "holds",
    "flash-when": "does not hold here",
    "efficient-when": "does not hold here",
    "math-when": "holds",
    "flash-automatically": "holds",
    "option-1": "holds",
    "option-2": "does not hold here",
    "options-identical": "does not hold here",
    "bandwidth-peak": "holds",
    "bandwidth-bound": "does not hold here",
    "bandwidth-share": "does not hold here",
    "compute-peak": "holds",
    "compute-bound": "does not hold here",
    "tf32-gemm": "holds",
    "same-algorithm": "holds",
    "same-access": "not measured here",
    "same-kernel": "does not hold here",
    "less-overhead": "holds",
    "sdpa-time": "does not hold here",
    "xformers-time": "does not hold here",
    "flash-time": "does not hold here",
    "standard-time": "does not hold here",
    "optimised-gigabytes": "does not hold here",
    "standard-gigabytes": "does not hold here",
    "use-pytorch": "opinion",
    "enable-tf32": "does not hold here",
    "bf16-stability": "not measured here",
    "mha-optimised": "does not hold here",
    "all-you-need": "does not hold here",
    "h200-flags": "does not hold here",
    "encoder-sdpa": "holds",
    "batch-first": "does not hold here",
    "train-bf16": "holds",
    "needed-before": "opinion",
    "redundant": "opinion",
    "identical": "does not hold here",
    "fastest-available": "holds",
    "just-use": "holds",
}


def test_verdicts_of_a_made_up_run() -> None:
    found = {name: outcome.verdict.value for name, outcome in outcomes(samples.result()).items()}
    assert found == EXPECTED


def with_guide_shape(**forward: float) -> Result:
    return samples.result(shapes=[samples.shape(**forward), *samples.result().shapes[1:]])


@pytest.mark.parametrize(
    ("claim", "turned"),
    [
        ("sdpa-time", with_guide_shape(sdpa=4.3)),
        ("xformers-time", with_guide_shape(xformers=4.1)),
        ("flash-time", with_guide_shape(flash_attention_2=4.5)),
        ("standard-time", with_guide_shape(standard=13.0)),
        ("xformers-speed", with_guide_shape(xformers=0.301)),
        ("flash-speed", with_guide_shape(flash_attention_2=0.31)),
        ("standard-speed", with_guide_shape(standard=0.75)),
        ("option-1", with_guide_shape(compat=0.4)),
        ("option-2", with_guide_shape(inline=0.36)),
        ("just-as-fast", with_guide_shape(inline=0.4)),
        ("best-kernel", with_guide_shape(sdpa_efficient=0.2)),
        ("flash-automatically", with_guide_shape(flash_attention_2=0.2)),
        ("fastest-available", with_guide_shape(xformers_fa2=0.2)),
        (
            "bandwidth-bound",
            samples.result(ceilings=[Ceiling("matmul bfloat16", "", 1e6), Ceiling("copy", "", 4300.0)]),
        ),
        ("compute-bound", samples.result(ceilings=[Ceiling("matmul bfloat16", "", 1e6), Ceiling("copy", "", 4300.0)])),
        (
            "bandwidth-share",
            samples.result(shapes=[samples.shape(sdpa=0.073, xformers=0.073, flash_attention_2=0.073)]),
        ),
        ("bandwidth-peak", samples.result(ceilings=[Ceiling("copy", "", 2000.0)])),
        ("compute-peak", samples.result(ceilings=[Ceiling("matmul float16", "", 1200.0)])),
        (
            "tf32-gemm",
            samples.result(ceilings=[Ceiling("matmul tf32", "", 100.0), Ceiling("matmul float32", "", 50.0)]),
        ),
        ("flash-when", samples.result(selections=[Selection(n, n, "_flash_attention") for n in ("causal", "no mask")])),
        (
            "efficient-when",
            samples.result(selections=[Selection("no mask", "", "_scaled_dot_product_efficient_attention")]),
        ),
        ("math-when", samples.result(selections=[Selection("complex", "", "_scaled_dot_product_flash_attention")])),
        ("less-overhead", samples.result(shapes=[samples.shape("tiny", sdpa=0.5)])),
        ("just-use", samples.result(shapes=[samples.shape(inline=0.5)])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_verdict_turns_with_its_figure(claim: str, turned: Result) -> None:
    before, after = EXPECTED[claim], outcomes(turned)[claim]
    assert {before, after.verdict.value} == {"holds", "does not hold here"}
    assert after.measured


def test_a_slower_forward_is_not_hidden_by_a_faster_backward() -> None:
    shape = samples.shape()
    entries = [
        entry if entry.name != "inline" else dataclasses.replace(entry, timing=samples.timing(0.4, 1.2))
        for entry in shape.entries
    ]
    found = outcomes(samples.result(shapes=[dataclasses.replace(shape, entries=tuple(entries))]))["just-as-fast"]
    assert found.verdict is Verdict.FAILS
    assert found.reason == "outside: the guide's shape (forward) 0.90"


@pytest.mark.parametrize(
    ("claim", "name", "forward", "step"),
    [
        ("enable-tf32", "encoder tf32", 91.0, 270.0),
        ("mha-optimised", "mha default", 1.0, 3.0),
        ("all-you-need", "encoder bf16 weights", 56.0, 200.0),
        ("h200-flags", "encoder bf16, no cudnn.benchmark", 60.0, 220.0),
        ("batch-first", "encoder bf16, batch_first=False", 60.0, 220.0),
        ("train-bf16", "encoder tf32", 40.0, 150.0),
    ],
)
def test_a_verdict_on_modules_turns_with_its_figure(claim: str, name: str, forward: float, step: float) -> None:
    modules = [m if m.name != name else samples.module(name, forward, step) for m in samples.result().modules]
    turned = samples.result(modules=modules)
    assert {EXPECTED[claim], outcomes(turned)[claim].verdict.value} == {"holds", "does not hold here"}


def test_math_inside_the_encoder_is_not_sdpa_at_its_best() -> None:
    ran = "inference: _native_multi_head_attention; training: _scaled_dot_product_attention_math"
    found = outcomes(samples.result(modules=[samples.module("encoder bf16", 1.0, 1.0, ran)]))["encoder-sdpa"]
    assert (found.verdict, found.measured) == (Verdict.FAILS, ran)


def test_memory_turns_with_its_figure() -> None:
    shape = samples.shape()
    sizes = {"sdpa": 2.1, "xformers": 2.2, "flash_attention_2": 2.0, "standard": 8.7}
    entries = tuple(
        dataclasses.replace(entry, forward_memory=int(sizes.get(entry.name, 3.0) * samples.GIGABYTE))
        for entry in shape.entries
    )
    found = outcomes(samples.result(shapes=[dataclasses.replace(shape, entries=entries)]))
    assert found["optimised-gigabytes"].verdict is Verdict.HOLDS
    assert found["standard-gigabytes"].verdict is Verdict.HOLDS


def test_what_is_said_of_an_h200_is_not_judged_on_an_h100() -> None:
    found = outcomes(samples.result("NVIDIA H100 80GB HBM3"))
    for name in ("sdpa-time", "bandwidth-peak", "compute-peak", "fastest-available", "flash-automatically"):
        assert found[name].verdict is Verdict.NOT_JUDGED
        assert "H100" in found[name].reason
        assert found[name].measured, "the figure is shown all the same"
    assert found["xformers-speed"].verdict is Verdict.FAILS


def test_on_a_cpu_nothing_is_judged() -> None:
    found = outcomes(samples.result("cpu"))
    assert {outcome.verdict for outcome in found.values()} == {Verdict.OPINION, Verdict.NOT_JUDGED}
    assert "says nothing about a GPU" in found["sdpa-time"].reason


def test_a_figure_that_is_not_there_is_explained() -> None:
    without = ("xformers", "xformers_fa2", "xformers_cutlass")
    found = outcomes(samples.result(shapes=[samples.shape(GUIDE_SHAPE, without)]))
    for name in ("xformers-time", "xformers-speed", "just-as-fast", "identical", "same-kernel"):
        assert found[name].verdict is Verdict.NOT_JUDGED
        assert "not there" in found[name].reason


def test_a_run_without_anything_judges_nothing_and_says_why() -> None:
    empty = samples.result(ceilings=[], selections=[], shapes=[], modules=[])
    for outcome in empty.outcomes:
        assert outcome.verdict in {Verdict.OPINION, Verdict.NOT_JUDGED}
        assert outcome.reason
