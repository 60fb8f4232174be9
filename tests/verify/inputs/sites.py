"""Sites to make inputs for: planned from a program, or put together by hand; and what their operator is handed."""

from __future__ import annotations

import torch

from xf2sdpa.judging.calls import operator_of
from xf2sdpa.verify import inputs
from xf2sdpa.verify.model import SiteReport
from xf2sdpa.verify.planning.parts import Atom, Shadow
from xf2sdpa.verify.planning.plan import SitePlan

SHAPE = inputs.Shape("small", 2, 6, 10, 3, 8)

BMHK = """
def attend(q, k, v):
    b, m, h, d = q.shape
    return memory_efficient_attention(q, k, v).reshape(b, m, h * d)
"""

MASKED = """
def attend(q, k, v, causal, bias=None):
    b, m, h, d = q.shape
    {}
    return memory_efficient_attention(q, k, v, attn_bias=mask).reshape(b, m, h * d)
"""

NAMES = (("q", "query"), ("k", "key"), ("v", "value"))


def handed(made_site, atoms):
    """What the operator is called with."""
    calls = []

    def attend(call):
        calls.append(call)
        return call.query.new_zeros(call.result_shape)

    made_site.probe(operator_of("memory_efficient_attention", attend), None).old(
        operator_of("memory_efficient_attention", attend), *atoms.values
    )
    (call,) = calls
    return call


def made(planned, shape=SHAPE, dtype=torch.float32, seed=0):
    found = inputs.make(planned[0], shape, "cpu", dtype, seed, helper=planned[1])
    assert not isinstance(found, inputs.Reason), found
    return found


def shapes(call):
    return [tuple(x.shape) for x in (call.query, call.key, call.value)]


def bias_of(planned, atoms):
    return handed(planned[0], atoms).attn_bias


def by_hand(old, *atoms):
    """A site whose old side computes its arguments from parts."""
    node = ("Call", 1, 0, 1, 1)
    report = SiteReport("m.py::f#0", "m.py", 1, "compat", "", "")
    parts = tuple(Atom(source, role, whole=False) for source, role in atoms)
    return SitePlan(report, Shadow("m.py::f#0", node, node, parts, old, "None", {}, {}), rank=4, mask="none"), None


def viewed(text):
    """The same done to all three."""
    return f"operator({', '.join(text.replace('x', f'atom{number}') for number in range(3))})"
