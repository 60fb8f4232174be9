"""The layout, by the number of dimensions that the function shows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.rules.common import IMPORTS, Case, attend, by_name, codes_in, examples_hold, holds, rewritten, rule
from xf2sdpa.analysis.values import Rank, Tensor, told_by_callers
from xf2sdpa.model import FileResult
from xf2sdpa.rewrite.engine import rewrite_text, rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings


def shaped(*lines: str, call: str = "xops.memory_efficient_attention(q, k, v)") -> str:
    text = attend(f"{call}.flatten(1)")
    return text.replace("    b, n, h, d = q.shape\n", "".join(f"    {line}\n" for line in lines))


MOVED = "\n        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)\n    ).transpose(1, 2)"
ADDED = "(\n        q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)\n    ).squeeze(1).flatten(1)\n"
EMITTED = {
    "four": Case(shaped("b, n, h, d = q.shape"), ("assumed XF101",), has=(MOVED,)),
    "four by a key": Case(shaped("b, n, h, d = k.shape"), ("assumed XF101",), has=(MOVED,)),
    "four by an assertion": Case(shaped("assert v.ndim == 4"), ("assumed XF101",), has=(MOVED,)),
    "four by a view": Case(shaped("q = q.view(1, 2, 3, -1)"), ("assumed XF101",), has=(MOVED,)),
    "three": Case(shaped("b, n, d = q.shape"), ("assumed XF102",), has=(ADDED,)),
    "three by a reshape": Case(shaped("q = q.reshape(1, 2, 3)"), ("assumed XF102",), has=(ADDED,)),
    "by keyword": Case(
        shaped("b, n, d = q.shape", call="xops.memory_efficient_attention(query=q, key=k, value=v)"),
        ("assumed XF102",),
        has=("        query=q.unsqueeze(1), key=k.unsqueeze(1), value=v.unsqueeze(1)\n",),
    ),
    "in another order": Case(
        shaped("b, n, d = q.shape", call="xops.memory_efficient_attention(value=v, query=q, key=k)"),
        ("assumed XF102",),
        has=("        value=v.unsqueeze(1), query=q.unsqueeze(1), key=k.unsqueeze(1)\n",),
    ),
    "on another path": Case(
        shaped("if c:", "    b, n, h, d = k.shape"),
        ("assumed XF101", "note XF307"),
        has=("    if k.ndim != 4:\n        raise NotImplementedError(\n", MOVED),
    ),
    "on the other way out": Case(
        shaped("if c:", "    b, n, d = q.shape", "    return b"),
        ("assumed XF102",),
        has=("    if q.ndim != 3:\n        raise NotImplementedError(\n", ADDED),
    ),
    "on two others, not the same": Case(
        shaped("if c:", "    b, n, h, d = q.shape", "elif k:", "    b, n, d = q.shape"), ("left XF202",), same=True
    ),
    "on another path, which asks for it": Case(
        shaped("if q.ndim == 4:", "    b, n, h, d = q.shape"), ("left XF201",), same=True
    ),
    "on another path, asked for before": Case(
        shaped("rank = q.dim()", "if rank == 4:", "    b, n, h, d = q.shape"), ("left XF201",), same=True
    ),
    "on another path, asked for by its length": Case(
        shaped("if len(q.shape) > 3:", "    b, n, h, d = q.shape"), ("left XF201",), same=True
    ),
    "on another path, of what is bound in the statement": Case(
        shaped("if c:", "    b, n, h, d = q.shape", call="[q := bias, xops.memory_efficient_attention(q, k, v)][1]"),
        ("left XF201",),
        same=True,
    ),
    "on another path, of what is bound in the statement to a copy of itself": Case(
        shaped(
            "if c:", "    b, n, h, d = q.shape", call="[q := q.clone(), xops.memory_efficient_attention(q, k, v)][1]"
        ),
        ("left XF201",),
        same=True,
    ),
    "on another path, of a copy without a name": Case(
        shaped("if c:", "    b, n, h, d = q.shape", call="xops.memory_efficient_attention(q.clone(), k, v)"),
        ("left XF201",),
        same=True,
    ),
    "on another path, of what has two dimensions here": Case(
        shaped("if c:", "    b, n, h, d = q.shape", "q = q.view(b, c)"), ("left XF201",), same=True
    ),
    "on another path, of what is not a variable here": Case(
        shaped("if c:", "    b, n, h, d = q.shape", call="xops.memory_efficient_attention(q + 0 * c, k, v)"),
        ("left XF201",),
        same=True,
    ),
    "on another path, in a lambda": Case(
        shaped("if c:", "    b, n, h, d = q.shape", call="(lambda: xops.memory_efficient_attention(q, k, v))()"),
        ("left XF201",),
        same=True,
    ),
    "not shown": Case(shaped(), ("left XF201",), "does not show whether", same=True),
    "a shape of something else": Case(shaped("b, n, h, d = bias.shape"), ("left XF201",), same=True),
    "a shape before a change": Case(shaped("b, n, h, d = q.shape", "q, k, v = c(q, k, v)"), ("left XF201",), same=True),
    "an assertion that is no equality": Case(shaped("assert q.ndim > 3"), ("left XF201",), same=True),
    "two": Case(shaped("n, d = q.shape"), ("left XF201",), same=True),
    "three and four": Case(
        shaped("b, n, h, d = q.shape", "b, n, d = k.shape"), ("left XF202",), "different numbers of dim", same=True
    ),
    "five": Case(shaped("b, n, g, h, d = q.shape"), ("left XF203",), "five dimensions", same=True),
}
NEAR_MISSES = {
    "a variant": Case(
        shaped("b, n, h, d = q.shape").replace("attention(q", "attention_forward_requires_grad(q"),
        ("left XF208",),
        same=True,
    ),
    "unpacked": Case(shaped("b, n, h, d = q.shape", call="xops.memory_efficient_attention(*q)"), ("left XF205",)),
    "of another library": Case(shaped("b, n, h, d = q.shape").replace("xformers", "flash"), same=True),
}


def test_the_helper_takes_what_is_not_shown() -> None:
    (site,) = holds(Case(shaped(), ("compat XF161",), helper=True)).sites
    assert "does not show" in site.message
    assert "b, n, h, d = query.shape" in site.advice


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("rank").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("rank").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("rank")


CALL = "xops.memory_efficient_attention({}, {}, {})"


def by_callers(call: str, rank: int = 4) -> FileResult:
    """The result where nothing but the callers shows a rank: that of k."""
    told = Tensor(Rank(rank), given=frozenset({told_by_callers("attend for k", rank)}))
    result = rewrite_with(shaped(call=call), "model.py", Options(Settings(), passed={("attend", "k"): told}))
    assert not result.failed, result.findings
    return result


@pytest.mark.parametrize(("rank", "code"), [(4, "XF101"), (3, "XF102")])
@pytest.mark.parametrize(
    ("given", "checked"), [(("q", "k", "v"), "q"), (("q * 1", "k", "v"), "k"), (("q * 1", "k * 1", "v"), "v")]
)
def test_what_only_the_callers_show_is_checked_on_the_first_variable(
    given: tuple[str, ...], checked: str, rank: int, code: str
) -> None:
    result = by_callers(CALL.format(*given), rank)
    (site,) = result.sites
    assert (site.kind.value, site.code) == ("assumed", code)
    assert f"every call in this project passes {rank} dimensions to attend for k" in site.assumptions
    assert f"    if {checked}.ndim != {rank}:\n        raise NotImplementedError(" in result.new
    assert f'"{checked} must have {rank} dimensions here, as all callers passed (xf2sdpa)"' in result.new


@pytest.mark.parametrize(
    "call",
    [
        CALL.format("q * 1", "k * 1", "v * 1"),
        f"[q := bias, {CALL.format('q', 'k', 'v')}][1]",
        f"[{CALL.format('q', 'k', 'v')} for _ in '1'][0]",
    ],
    ids=["no variable", "a variable that is bound in the statement", "in a comprehension"],
)
def test_without_a_check_the_callers_prove_nothing(call: str) -> None:
    result = by_callers(call)
    (site,) = result.sites
    assert (site.kind.value, site.code) == ("left", "XF201")
    assert site.message == "the dimensions are assumed, and no check of them can stand before the call"
    told = "Give query, key or value a name in a statement of its own, for a check of the dimensions before it."
    assert site.advice == told
    assert result.new == result.old


OVERRIDABLE = """\
import torch.nn.functional as F
import xformers.ops as xops


class Attend:
    def split(self, x, h):
        b, n, c = x.shape
        return x.view(b, n, h, c // h)

    def __call__(self, x, h):
        q = self.split(x, h)
        return xops.memory_efficient_attention(q, q, q)
"""


def test_what_others_may_override_is_checked() -> None:
    """A subclass of another project that keeps three dimensions got other numbers, without an error."""
    result = rewrite_text(OVERRIDABLE, "model.py")
    assert result.sites[0].assumptions[0] == "no subclass overrides `split`"
    assert "XF307" in {note.code for note in result.sites[0].notes}
    names: dict[str, Any] = {}
    exec(result.new, names)
    flat = type("Flat", (names["Attend"],), {"split": lambda self, x, h: x})
    x = torch.randn(2, 5, 24)
    assert names["Attend"]()(x, 3).shape == (2, 5, 3, 8)
    with pytest.raises(
        NotImplementedError, match="q must have 4 dimensions here, assuming that no subclass overrides `sp"
    ):
        flat()(x, 3)


def test_what_no_check_can_stand_for_is_not_assumed() -> None:
    named = OVERRIDABLE.replace("(q, q, q)", "(self.split(x, h), self.split(x, h), q[:])")
    (site,) = rewrite_text(named, "model.py").sites
    assert (site.kind.value, site.code) == ("left", "XF201")


def test_what_a_library_documents_is_checked() -> None:
    program = "q = attn.head_to_batch_dim(q)"
    result = rewritten(Case(f"{IMPORTS}\n\ndef attend(attn, q):\n    {program}\n    return {mea_of('q')}\n"))
    assert "    if q.ndim != 3:\n" in result.new
    assert "head_to_batch_dim is the method of diffusers'" in result.new.replace('"\n            "', "")


def test_a_reason_that_no_string_holds_is_not_said() -> None:
    program = f"{IMPORTS}\n\ndef attend(q: Float[Tensor, 'b \"n h d']):\n    return {mea_of('q')}\n"
    assert "q must have 4 dimensions here, as was assumed (xf2sdpa)" in rewritten(Case(program)).new


def mea_of(name: str) -> str:
    return f"xops.memory_efficient_attention({name}, {name}, {name})"
