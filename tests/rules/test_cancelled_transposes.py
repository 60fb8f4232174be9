"""Transposes that were made for xformers go; what else reads their result keeps it."""

from __future__ import annotations

from tests.rules.common import IMPORTS, Case, attend, by_name, examples_hold, holds

CALL = "xops.memory_efficient_attention({}, {}, {})"
SWAPPED = ".transpose(1, 2)"


def plain(q: str = "q", k: str = "k", v: str = "v", *, after: str = ".transpose(1, 2)") -> str:
    return CALL.format(q, k, v) + after


ALL = tuple(name + SWAPPED for name in "qkv")
WRITTEN = {
    "all around": Case(attend(plain(*ALL)), has=("return F.scaled_dot_product_attention(q, k, v)\n",)),
    "by numbers from the end": Case(
        attend(plain("q.transpose(-2, -3)", "k.transpose(2, 1)", "v.transpose(-3, -2)")),
        has=("return F.scaled_dot_product_attention(q, k, v)\n",),
    ),
    "by other methods": Case(
        attend(plain("q.permute(0, 2, 1, 3)", "k.swapaxes(1, 2)", "v.swapdims(1, 2)", after=".permute(0, 2, 1, 3)")),
        has=("return F.scaled_dot_product_attention(q, k, v)\n",),
    ),
    "by a function": Case(
        attend(plain("torch.transpose(q, 1, 2)", *ALL[1:])), has=("F.scaled_dot_product_attention(q, k, v)\n",)
    ),
    "with a contiguous behind": Case(
        attend(plain(*(name + ".contiguous()" for name in ALL))), has=("F.scaled_dot_product_attention(q, k, v)\n",)
    ),
    "in a statement": Case(
        attend(plain("x", *ALL[1:]), "x = q.transpose(1, 2)"),
        has=("F.scaled_dot_product_attention(q, k, v)\n",),
        lacks=("x = ",),
    ),
    "in a statement that keeps its name": Case(
        attend(plain("q", *ALL[1:]), "q = q.transpose(1, 2)"),
        has=("F.scaled_dot_product_attention(q, k, v)\n",),
        lacks=("q = ",),
    ),
    "in a statement, of an expression": Case(
        attend(plain("x", *ALL[1:]), "x = (q * 2).transpose(1, 2)"),
        has=("x = (q * 2)\n", "F.scaled_dot_product_attention(x, k, v)\n"),
    ),
    "in a statement behind the call": Case(
        attend("out.flatten(2)", f"out = {plain(*ALL, after='')}", "out = out.transpose(1, 2)"),
        has=("out = F.scaled_dot_product_attention(q, k, v)\n    return out.flatten(2)\n",),
    ),
    "where the result is read": Case(
        attend("out.transpose(1, 2).flatten(2)", f"out = {plain(*ALL, after='')}"),
        has=("out = F.scaled_dot_product_attention(q, k, v)\n    return out.flatten(2)\n",),
    ),
    "only of one": Case(
        attend(plain("q.transpose(1, 2)", after="")),
        has=("q, k.transpose(1, 2), v.transpose(1, 2)\n    ).transpose(1, 2)",),
    ),
    "in a statement behind the call, by another name": Case(
        attend("y.flatten(2)", f"out = {plain(*ALL, after='')}", "y = out.transpose(1, 2)"), has=("    y = out\n",)
    ),
    "by a pattern": Case(
        attend(
            plain("rearrange(q, 'b h n d -> b n h d')", *ALL[1:]), imports=f"{IMPORTS}from einops import rearrange\n"
        ),
        has=("F.scaled_dot_product_attention(q, k, v)\n",),
    ),
}
BOTH = "q.transpose(1, 2)"
NEAR_MISSES = {
    "of other dimensions": Case(
        attend(plain("q.transpose(1, 3)", after=".flatten(2)")), has=("q.transpose(1, 3).transpose(1, 2)",)
    ),
    "of the last two": Case(
        attend(plain("q.transpose(-1, -2)", after=".flatten(2)")), has=("q.transpose(-1, -2).transpose(1, 2)",)
    ),
    "another permutation": Case(
        attend(plain("q.permute(0, 2, 3, 1)", after=".flatten(2)")), has=("q.permute(0, 2, 3, 1).transpose(1, 2)",)
    ),
    "the result elsewhere": Case(
        attend(plain(after=".transpose(1, 3)")), has=(").transpose(1, 2).contiguous().transpose(1, 3)",)
    ),
    "read twice": Case(
        attend(f"{plain('x', after='.flatten(2)')} + x.sum()", "x = q.transpose(1, 2)"),
        has=("x = q.transpose(1, 2)\n", "x.transpose(1, 2), k.transpose(1, 2)"),
    ),
    "what it was made of changes before the call": Case(
        attend(plain("x", after=".flatten(2)"), "x = q.transpose(1, 2)", "q = q * 2"), has=("x = q\n", "x, k.tr")
    ),
    "a result that is read twice": Case(
        attend("out.transpose(1, 2) + out.sum()", f"out = {plain(after='')}"),
        has=("k.transpose(1, 2), v.transpose(1, 2)\n    ).transpose(1, 2)", "out.transpose(1, 2) + out.sum()"),
    ),
    "in three dimensions": Case(
        attend("xops.memory_efficient_attention(q.transpose(1, 2), k, v)").replace("b, n, h, d", "b, n, d"),
        has=("q.transpose(1, 2).unsqueeze(1)", ").squeeze(1)"),
    ),
    "another statement": Case(
        attend(plain("x", after=".flatten(2)"), "x = q * 2"), has=("x = q * 2\n", "x.transpose(1, 2), k")
    ),
    "of a variable of the module": Case(
        "Q = 1\n" + attend(plain("x", after=".flatten(2)"), "x = Q.transpose(1, 2)").replace("q.shape", "k.shape"),
        has=("    x = Q\n", "x, k.transpose(1, 2)"),
    ),
    "of a variable that a loop changes": Case(
        attend(
            "c",
            "for _ in c:",
            "    x = q.transpose(1, 2)",
            f"    c += {plain('x', after='.flatten(2)')}",
            "    q = q * 2",
        ).replace("q.shape", "k.shape"),
        has=("x = q\n", "x, k.transpose(1, 2)"),
    ),
    "a result with two names": Case(
        attend("out.transpose(1, 2)", f"y = out = {plain(after='')}"), has=(").transpose(1, 2).contiguous()\n",)
    ),
    "a result kept on an object": Case(
        attend("1", f"c.x = {plain(after='')}"), has=(").transpose(1, 2).contiguous()\n",)
    ),
    "a result that is not turned": Case(
        attend("out.flatten(2)", f"out = {plain(after='')}"), has=(").transpose(1, 2)\n", "out.flatten(2)")
    ),
    "by another pattern": Case(
        attend(
            plain("rearrange(q, 'b h n d -> b n d h')", after=".flatten(2)"),
            imports=f"{IMPORTS}from einops import rearrange\n",
        ),
        has=("rearrange(q, 'b h n d -> b n d h').transpose(1, 2)",),
    ),
    "by a pattern that is no text": Case(
        attend(
            plain("rearrange(q, c)", after=".flatten(2)"), imports=f"{IMPORTS}from einops import rearrange\n"
        ).replace("q.shape", "k.shape"),
        has=("rearrange(q, c).transpose(1, 2)",),
    ),
}


@by_name(WRITTEN)
def test_what_is_written(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case)


def test_the_examples_hold() -> None:
    examples_hold("cancelled_transposes")
