"""`op=` is dropped where that loses nothing but the choice of a kernel."""

from __future__ import annotations

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule

IN_CLASS = (
    "import torch.nn.functional as F\nimport xformers.ops as xops\n\n\nclass Made:\n    def __init__(self, given):\n"
    "        self.kernel = None\n        self.heads = given\n"
)
CALLED = "return " + mea("op=self.kernel")


def reading(more: str) -> Case:
    """The attribute is read, or set in another way, besides."""
    text = attend("self.kernel", imports=IN_CLASS).replace("return self.kernel", CALLED)
    return Case(f"{text}\n\n{more}\n", ("note XF122",), has=("self.kernel = None",))


EMITTED = {
    "a name": Case(attend(mea("op=c")), ("note XF122",), "no longer pinned", lacks=("op=",)),
    "an attribute": Case(attend(mea("op=c.op")), ("note XF122",), lacks=("op=",)),
    "a kernel": Case(
        attend(mea("op=xops.MemoryEfficientAttentionCutlassOp")), ("note XF122",), lacks=("op=", "Cutlass", "xops")
    ),
    "a pair": Case(attend(mea("op=(xops.fmha.cutlass.FwOp, None)")), ("note XF122",), lacks=("op=", "FwOp")),
    "a call": Case(attend(mea("op=choose(q)")), ("left XF206",), "may do something", same=True),
    "a call inside": Case(attend(mea("op=(choose(q), None)")), ("left XF206",), same=True),
    "an attribute that nothing else reads": Case(
        attend("self.kernel", imports=IN_CLASS).replace("return self.kernel", CALLED),
        ("finding XF148",),
        lacks=("kernel",),
    ),
    "one with a type": Case(
        attend("self.kernel", imports=IN_CLASS.replace("kernel = None", "kernel: object = None")).replace(
            "return self.kernel", CALLED
        ),
        ("finding XF148",),
        lacks=("kernel",),
    ),
    "another constant": Case(attend(mea("op=0")), ("note XF122",), lacks=("op=",)),
}
NEAR_MISSES = {
    "none": Case(attend(mea()), ("assumed XF101",)),
    "None": Case(attend(mea("op=None")), ("assumed XF101",), lacks=("op=",)),
    "a call as the bias": Case(attend(mea("attn_bias=choose(q)")), ("left XF211",)),
    "a call as the probability": Case(attend(mea("p=choose(q)")), ("assumed XF101",), has=("dropout_p=choose(q)",)),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("op").codes))


@by_name(
    {
        "the attribute is read": reading("def show(made):\n    return made.kernel"),
        "the attribute is read by name": reading("def show(made):\n    return getattr(made, 'kernel')"),
        "the attribute is set from outside": reading("def put(made, x):\n    made.kernel = x"),
        "the attribute is made by a call": reading("def put(self, x):\n    self.kernel = x()"),
        "the attribute is set with another": reading("def more(self):\n    self.other = self.kernel = None"),
        "the attribute is set by a star": reading("def more(self, given):\n    self.other, *self.kernel = given"),
        "the attribute is deleted": reading("def more(self):\n    del self.kernel"),
        "the attribute is of a class": reading("class Other:\n    kernel = 1"),
    }
)
def test_an_attribute_that_somebody_else_knows_stays(case: Case) -> None:
    holds(case, never=("XF148",))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("op").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("op")
