"""Whether autocast may change what a call computes in: exact, assumed, or refused."""

from __future__ import annotations

from tests.rules.common import IMPORTS, Case, attend, by_name, codes_in, examples_hold, holds, mea, rule

CAST = "q, k, v = (t.{}() for t in (q, k, v))"
OFF = "    with torch.autocast(q.device.type, enabled=False):\n        return F.scaled_dot"
SPLIT = ("exact XF101", "note XF124")
EMITTED = {
    "a cast to float32": Case(attend(mea(), CAST.format("float")), SPLIT, has=(OFF,)),
    "another spelling": Case(attend(mea(), "q = q.to(torch.float32)"), SPLIT, has=(OFF,)),
    "one of the three": Case(attend(mea(), "k = k.float()"), SPLIT, has=(OFF,)),
    "with torch imported for it": Case(
        attend(mea(), "k = k.float()", imports="import torch.nn.functional as F\nimport xformers.ops as xops\n"),
        SPLIT,
        has=("import torch\n", OFF),
    ),
    "a number that is computed": Case(attend(mea("scale=n * 2"), "k = k.float()"), SPLIT, has=(OFF,)),
    "a list that is made": Case(attend(mea("scale=[c for c in bias][0]"), "k = k.float()"), ("left XF204",), same=True),
    "a move by what is computed": Case(
        attend("xops.memory_efficient_attention(q, k, v).to(c(1))", "k = k.float()"), ("left XF204",), same=True
    ),
    "a projection around the call": Case(
        attend(f"F.linear({mea()}, c)", "k = k.float()"), ("left XF204",), "are float32 here", same=True
    ),
    "a product in an argument": Case(attend(mea("scale=float(bias @ c)"), "k = k.float()"), ("left XF204",), same=True),
    "in one arm of an expression": Case(attend(f"{mea()} if c else q", "k = k.float()"), ("left XF204",), same=True),
    "in a lambda": Case(
        attend("(lambda: xops.memory_efficient_attention(q, cast, v))", "cast = k.float()"), ("left XF204",), same=True
    ),
    "behind a colon": Case(attend("q", "k = k.float()", f"if c: q = {mea()}"), ("left XF204",), same=True),
    "behind a semicolon": Case(attend("q", "k = k.float()", f"b = 1; q = {mea()}"), ("left XF204",), same=True),
    "where torch is something else": Case(
        attend(mea(), "k = k.float()", given="q, k, v, torch"), ("left XF204",), same=True
    ),
    "where no argument is a variable": Case(
        attend("xops.memory_efficient_attention(q.float(), q.float(), q.float()).flatten(2)"),
        ("left XF204",),
        same=True,
    ),
}
NEAR_MISSES = {
    "from a linear layer": Case(
        attend(mea(), "q = F.linear(k.float(), v).view(b, n, h, d)"), ("exact XF101",), has=("F.scaled_dot",)
    ),
    "a cast to half": Case(attend(mea(), CAST.format("half")), ("assumed XF101",)),
    "a cast to half of one": Case(attend(mea(), "q = q.to(torch.bfloat16)"), ("assumed XF101",)),
    "no cast in sight": Case(attend(mea()), ("assumed XF101",)),
    "a cast to float32 taken back": Case(attend(mea(), CAST.format("float"), CAST.format("half")), ("assumed XF101",)),
    "a mask that is cast": Case(attend(mea("attn_bias=m"), "m = torch.zeros(b, h, n, n).float()"), ("assumed XF101",)),
    "a result that is cast": Case(attend(mea() + ".float()"), ("assumed XF101",)),
}


def test_what_is_assumed_is_said() -> None:
    unknown = holds(Case(attend(mea()))).sites[0].assumptions
    half = holds(Case(attend(mea(), CAST.format("half")))).sites[0].assumptions
    assert [text.partition(",")[0] for text in unknown] == ["inside autocast"]
    assert half == ("autocast, if it is on here, is on for the half type that the inputs are cast to",)


def test_nothing_is_assumed_of_what_autocast_lowers_itself() -> None:
    case = Case(attend(mea(), "q = (q @ k).view(b, n, h, d)", imports=IMPORTS))
    assert holds(case).sites[0].assumptions == ()


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("autocast").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("autocast").codes) - {"XF301"} <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("autocast")
