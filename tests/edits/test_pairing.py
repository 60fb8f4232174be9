"""Whole programs in which an edit's node must be found among others of its kind: none may end as XF905."""

from __future__ import annotations

import sys

import pytest

from xf2sdpa.rewrite.engine import rewrite_text

HEAD = """\
try:
    import xformers.ops as xops
except ImportError:
    xops = None


def attend(q, k, v, bias, n):
"""
TAIL = "    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)\n"


def body_after(statement: str) -> str:
    """What becomes of a statement in front of a call that goes to the helper."""
    lines = "".join(f"    {line}\n" for line in statement.splitlines())
    result = rewrite_text(HEAD + lines + TAIL, compat="_attention_compat")
    assert not result.failed, result.findings[0].message
    body = result.new.partition("def attend(q, k, v, bias, n):\n")[2]
    kept, found, rest = body.rpartition("    return memory_efficient_attention(q, k, v, attn_bias=bias)\n")
    assert (found, rest) != ("", body)
    return "\n".join(line.removeprefix("    ") for line in kept.splitlines())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y = (n is None, not (n in q), xops is not None)", "y = (n is None, not (n in q), True)"),
        ("y = (xops is not None, n < 1 < 2)", "y = (True, n < 1 < 2)"),
        ("a = xops is not None; b = xops is None; c = n", "a = True; b = False; c = n"),
        ("match n:\n    case q.b if xops is not None: pass", "match n:\n    case q.b if True: pass"),
        ("y = (not n, not xops, -n, not k)", "y = (not n, False, -n, not k)"),
        (
            "x: 'xops.AttentionBias' = ('a' 'b', b'c', f'{n!r:>{q}}')",
            "x: 'AttentionBias' = ('a' 'b', b'c', f'{n!r:>{q}}')",
        ),
        ("x: xops.AttentionBias = q.a if n.b else f'{n.c}'", "x: AttentionBias = q.a if n.b else f'{n.c}'"),
        ("@n.a\ndef g(a: xops.AttentionBias, b: n.c = n.d): pass", "@n.a\ndef g(a: AttentionBias, b: n.c = n.d): pass"),
        (
            "class A(q.b, c='s'):\n    x: 'xops.AttentionBias' = 's'",
            "class A(q.b, c='s'):\n    x: 'AttentionBias' = 's'",
        ),
        ("for i in (xops.AttentionBias, n.a): n.b", "for i in (AttentionBias, n.a): n.b"),
        ("y = n[q.a, xops.AttentionBias:n.b, ...]", "y = n[q.a, AttentionBias:n.b, ...]"),
        ("y = xops.AttentionBias.a(n.b).c(xops.AttentionBias)", "y = AttentionBias.a(n.b).c(AttentionBias)"),
        (
            "y = [x for x in n.a if x.b for z in xops.AttentionBias.b]",
            "y = [x for x in n.a if x.b for z in AttentionBias.b]",
        ),
        ("print(f'{n.a}', xops.AttentionBias, 'b' f'{n.c}')", "print(f'{n.a}', AttentionBias, 'b' f'{n.c}')"),
    ],
)
def test_the_right_node_is_edited(old: str, new: str) -> None:
    assert body_after(old) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y = (n, q if xops else k)", "y = (n, q)"),
        ("y = q if not xops else -1", "y = -1"),
        ("y = q if xops else None", "y = q"),
        ("y = {a: 1 if xops else 2 for a in n}", "y = {a: 1 for a in n}"),
        ("y = lambda *, a=1 if xops else 2: a", "y = lambda *, a=1: a"),
        ("y = n.a(b=1 if xops else 2, c=lambda *z: z)", "y = n.a(b=1, c=lambda *z: z)"),
        ("with n as m, m(1 if xops else 2): pass", "with n as m, m(1): pass"),
        ("y = f'{n}' if xops else q", "y = f'{n}'"),
        ("def g(a=1 if xops else 2): pass", "def g(a=1): pass"),
        ("class A(n, metaclass=n if xops else q): pass", "class A(n, metaclass=n): pass"),
        ("match 1 if xops else 2:\n    case a: pass", "match 1:\n    case a: pass"),
        ("y = (n if bias else k, q if xops else k, k if n else q)", "y = (n if bias else k, q, k if n else q)"),
        ("y = (n if q else k) if xops else v", "y = (n if q else k)"),
        ("y = n if q else k if xops else v", "y = n if q else k"),
        ("y = n if (k if xops else q) else v", "y = n if (k) else v"),
        ("y = [a if a else n for a in q if (a if xops else n)]", "y = [a if a else n for a in q if (a)]"),
    ],
)
def test_the_right_choice_is_settled(old: str, new: str) -> None:
    """Of several `a if b else c` in a statement."""
    assert body_after(old) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("if xops and bias is not None: n()", "if bias is not None: n()"),
        ("if n and xops and k: q()", "if n and k: q()"),
        ("if (n or k) and xops and k: q()", "if (n or k) and k: q()"),
        ("if (n and k) or (q and xops and v): n()", "if (n and k) or (q and v): n()"),
        ("if n and k or q and xops and v: n()", "if n and k or q and v: n()"),
        ("if n and (k or q) and (k and xops and v): n()", "if n and (k or q) and (k and v): n()"),
        ("while n and xops and k: n()", "while n and k: n()"),
        ("y = (n or k, 1 if xops and q else 2, k and n)", "y = (n or k, 1 if q else 2, k and n)"),
        (
            "y = [a for a in n or k if (1 if a and xops and k else a or k)]",
            "y = [a for a in n or k if (1 if a and k else a or k)]",
        ),
        (
            "if n and q:\n    if k or v: q()\nelif q and xops and v: n()",
            "if n and q:\n    if k or v: q()\nelif q and v: n()",
        ),
    ],
)
def test_the_right_chain_is_shortened(old: str, new: str) -> None:
    """Of several `a and b and c`, which LibCST has as one operation in another."""
    assert body_after(old) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("while xops: n()", "while True: n()"),
        ("y = (n, 1 if n(q) or xops else k)", "y = (n, 1 if n(q) or True else k)"),
        ("y = 1 if n(q) or xops else None", "y = 1 if n(q) or True else None"),
        ("y = q if n(k) or xops else False", "y = q if n(k) or True else False"),
        (
            "def g(a: n, b=q if n(k) or xops else 2, *z, **w): pass",
            "def g(a: n, b=q if n(k) or True else 2, *z, **w): pass",
        ),
        ("def g(a) -> n if n(k) or xops else q: pass", "def g(a) -> n if n(k) or True else q: pass"),
        (
            "class A(n, metaclass=n if n(k) or xops else q): pass",
            "class A(n, metaclass=n if n(k) or True else q): pass",
        ),
        ("match 1 if n(k) or xops else 2:\n    case a: pass", "match 1 if n(k) or True else 2:\n    case a: pass"),
        (
            "match q if n(k) or xops else v:\n"
            "    case [a, *b] | n.A(a, c=b) as d: pass\n    case {'a': c, **d} if v: pass\n    case None | _: pass",
            "match q if n(k) or True else v:\n"
            "    case [a, *b] | n.A(a, c=b) as d: pass\n    case {'a': c, **d} if v: pass\n    case None | _: pass",
        ),
        ("with n(1 if n(k) or xops else 2) as m, q as w: pass", "with n(1 if n(k) or True else 2) as m, q as w: pass"),
        ("for z in q if n(k) or xops else v: pass", "for z in q if n(k) or True else v: pass"),
        ("y = (z := 1 if n(k) or xops else 2)", "y = (z := 1 if n(k) or True else 2)"),
        ("y = lambda z, *a, w=n: 1 if n(k) or xops else z", "y = lambda z, *a, w=n: 1 if n(k) or True else z"),
        ("y = n.xops(xops=q, k=1 if n(k) or xops else n.k)", "y = n.xops(xops=q, k=1 if n(k) or True else n.k)"),
        (
            "try: pass\nexcept n(1 if n(k) or xops else v) as m: pass",
            "try: pass\nexcept n(1 if n(k) or True else v) as m: pass",
        ),
    ],
)
def test_a_name_beside_what_only_one_parser_calls_so(old: str, new: str) -> None:
    """LibCST has a `Name` for None, True and False, for what is defined and for what is caught; `ast` has not."""
    assert body_after(old) == new


STAR = pytest.param("*", marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="no except* before Python 3.11"))


@pytest.mark.parametrize("star", ["", STAR])
def test_a_name_of_the_helper_in_a_handler(star: str) -> None:
    old = f"try: n.a\nexcept{star} n.b as m: n.c\nexcept{star} (ValueError, xops.AttentionBias): n.d"
    assert body_after(old) == old.replace("xops.", "")


@pytest.mark.parametrize(
    "value", ["'a' f'{n}'", "f'{n}' 'a'", "'a' 'b' f'{n}' 'c'", "('a', 'b' 'c', f'{n}' f'{q}', 'd')"]
)
def test_a_quoted_annotation_beside_a_string_joined_to_an_f_string(value: str) -> None:
    assert body_after(f"x: 'xops.AttentionBias' = {value}") == f"x: 'AttentionBias' = {value}"
