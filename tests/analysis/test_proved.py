"""What the lines before a call prove of its inputs: the class and code of the call, or nothing (XF201)."""

from __future__ import annotations

import pytest

from xf2sdpa.rewrite.engine import rewrite_text

HEAD = """\
import torch
import torch.nn.functional as F
import xformers.ops as xops
from einops import rearrange


"""
UNPROVED = "left XF201"


def proved(*lines: str, given: str = "q, k, v, x, n", before: str = "") -> str:
    """The class and code of a call behind some lines; XF124 too, where its inputs are float32."""
    body = "".join(f"    {line}\n" for line in (*lines, "return xops.memory_efficient_attention(q, k, v)"))
    result = rewrite_text(f"{HEAD}{before}def f({given}):\n{body}")
    assert not result.failed, result.findings
    (site,) = result.sites
    return " ".join([site.kind.value, site.code, *(note.code for note in site.notes if note.code == "XF124")])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("q = x.view(*x.shape[:-1], 2, 3)", "b, m, c = x.shape"), "assumed XF101"),
        (("b, m, c = x.shape", "q = x.view(*x.shape[:-1], 2, 3)"), "assumed XF101"),
        (("s = (n, n, n, n)", "q = x.view(*s)"), "assumed XF101"),
        (("s = [n, n]", "q = x.view(*s, 3)"), "assumed XF102"),
        (("q = x.view(n, n, n, n).type(torch.float32)",), "exact XF101 XF124"),
        (("q = x.reshape(shape=(n, n, n, n))",), "assumed XF101"),
        (("q = x.view(n, n, n, n).flatten(1, 2)",), "assumed XF102"),
        (("q = x.view(n, n, n, n).flatten(-2)",), "assumed XF102"),
        (("q = x.view(n, n, n, n).flatten(n)",), ""),
        (("q = x.view(n, n, n).unflatten(2, (n, -1))",), "assumed XF101"),
        (("q = x.view(n, n, n).unflatten(2, n)",), ""),
        (("q = x.view(n, n, n, n).squeeze(0)",), ""),
        (("q = x.view(n, n, n, n, n).squeeze((0, 1))",), ""),
        (("q = x.view(n, n, n, n).squeeze()",), ""),
        (("assert q.dim() == 4",), "assumed XF101"),
        (("assert q.ndimension() == 3",), "assumed XF102"),
        (("assert len(q.shape) == 4",), "assumed XF101"),
        (("assert len(q.size()) == 3",), "assumed XF102"),
        (("if q.dim() != 4:", "    raise ValueError"), "assumed XF101"),
        (("if not q.ndim == 3:", "    return"), "assumed XF102"),
        (("b, m, h, d = q.size()",), "assumed XF101"),
        (("b = q.size(0)",), ""),
        (("q = torch.cat([x.view(n, n, n, n), x.view(n, n, n, n)], 1)",), "assumed XF101"),
        (("q = torch.stack([x.view(n, n, n), x.view(n, n, n)])",), "assumed XF101"),
        (("q = torch.cat(n)",), ""),
        (("q = torch.einsum('bnc,chd->bnhd', x, n)",), "exact XF101"),
        (("q = torch.einsum(n, x)",), ""),
        (("q = torch.einsum('...c,chd->...hd', x, n)",), ""),
        (("q = torch.arange(n)",), ""),
        (("q = torch.full((n, n, n), 0.0)",), "exact XF102 XF124"),
        (("q = torch.zeros(n, n, n, n)",), "exact XF101 XF124"),
        (("q = rearrange(x, 'b n (h d) -> b n h d', h=n)",), "assumed XF101"),
        (("q = rearrange(x, '... (h d) -> ... h d', h=n)", "b, m, c = x.shape"), "assumed XF101"),
        (("b, m, c = x.shape", "q = rearrange(x, '... (h d) -> ... h d', h=n)"), "assumed XF101"),
        (("q = rearrange(x, n)",), ""),
        (("q = rearrange(x, 'b (n -> b n')",), ""),
        (("q = rearrange(x, 'no arrow')",), ""),
        (("q = torch.utils.checkpoint.checkpoint(lambda t: t.view(n, n, n), x)",), "assumed XF102"),
        (("q, k, v = map(lambda t: t.view(n, n, n, n), (q, k, v))",), "assumed XF101"),
        (("q, k, v = list(map(lambda t: t.view(n, n, n), [q, k, v]))",), "assumed XF102"),
        (("q, k, v = reversed((x.view(n, n, n), q, k))",), "assumed XF102"),
        (("for q, k, v in zip((x.view(n, n, n),), (k,), (v,)):", "    pass"), "assumed XF102"),
        (("q = x.view(n, n, n, n) @ n",), ""),
        (("q = n ** x.view(n, n, n)",), ""),
        (("q = (x.view(n, n, n, n) if n else x.view(n, n, n))",), ""),
        (("q = x.view(n, n, n, n) if n else x.view(1, 2, 3, 4)",), "assumed XF101"),
        (("q = n and x.view(n, n, n)",), ""),
        (("if (q := x.view(n, n, n)) is None:", "    return"), "assumed XF102"),
        (("del q", "q = x.view(n, n, n)"), "assumed XF102"),
        (("while n:", "    q = x.view(n, n, n)", "    break", "else:", "    q = x.view(n, n, n)"), "assumed XF102"),
        (("while n:", "    q = q.view(n, n, n, n)", "    if x:", "        break"), ""),
        (("s = (n,)", "s += (n, n)", "q = x.view(s)"), "assumed XF102"),
        (("a, *s = q.shape", "q = x"), ""),
        (("q.unsqueeze_(1)", "b, m, h, d = q.shape"), "assumed XF101"),
        (("q = x.view(n, n, n)", "q.unsqueeze_(1)"), "assumed XF101"),
        (("q = len(x.shape)",), ""),
        (("s = x.shape", "q = x.view(*s[:2], n, n)"), "assumed XF101"),
        (("s = x.shape[:2] + (n, n)", "q = x.view(s)"), "assumed XF101"),
        (("s = x.shape[:2]", "q = x.view(s + (n, n))"), "assumed XF101"),
        (("b, m, c = x.shape", "q = x.view(x.shape[:2] + (n, n))"), "assumed XF101"),
        (("*lead, c = x.shape", "q = x.view(*lead, n, n)"), ""),
        (("q = [x.view(n, n, n)] * 3",), ""),
        (("t = []", "t.append(x.view(n, n, n))", "q = t[0]"), "assumed XF102"),
        (("t = []", "t.insert(0, x.view(n, n, n))", "q = t[0]"), ""),
        (("q = x.view(n, n, n).T",), "assumed XF102"),
        (("q = x.view(n, n, n).data",), "assumed XF102"),
        (("q = x.view(n, n, n).grad",), ""),
        (("q = -x.view(n, n, n)",), "assumed XF102"),
        (("q = not x.view(n, n, n)",), ""),
        (("q = x.view(n, n, n) > 0",), "assumed XF102"),
        (("with torch.autocast('cuda', enabled=False):", "    q = F.linear(x, n).view(n, n, n)"), "assumed XF102"),
        (
            ("with torch.autocast('cuda', enabled=False):", "    q = F.linear(x, n).view(n, n, n)", "    q = q.half()"),
            "assumed XF102",
        ),
        (("with torch.no_grad():", "    q = x.view(n, n, n)"), "assumed XF102"),
        (("match n:", "    case 1:", "        q = x.view(n, n, n)", "    case _:", "        q = x.view(n, n, n)"), ""),
        (("match n:", "    case [*q]:", "        pass"), ""),
        (("match n:", "    case {'a': 1, **q}:", "        pass"), ""),
        (("try:", "    q = x.view(n, n, n)", "finally:", "    pass"), "assumed XF102"),
        (("try:", "    q = x.view(n, n, n)", "except ValueError:", "    q = x"), ""),
    ],
)
def test_lines_before_a_call(lines: tuple[str, ...], expected: str) -> None:
    assert proved(*lines) == (expected or UNPROVED)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("s = (*x.shape[:-1], n, n)", "q = x.view(s)", "b, m, c = x.shape"), "assumed XF101"),
        (("b, m, c = x.shape", "s = (*x.shape[:-1], n, n)", "q = x.view(s)"), "assumed XF101"),
        (("s = (*n, 1)", "q = x.view(s)"), ""),
        (("s = x.shape[:-1] + (n, n)", "q = x.view(s)", "b, m, c = x.shape"), "assumed XF101"),
        (("q = torch.stack(n)",), ""),
        (("for i, t in enumerate([x.view(n, n, n)]):", "    q = t"), ""),
        (("q = [x.view(n, n, n) for t in n][0]",), "assumed XF102"),
        (("q, k, v = map(lambda t: t.view(n, n, n), n)",), "assumed XF102"),
        (("q = list(map(lambda t: t.view(n, n, n), n))[0]",), "assumed XF102"),
        (("q = x.view(*([n] * 3))",), ""),
        (("q = x.view(n, n, n, n).flatten(-3, -2)",), "assumed XF102"),
        (("q = x.view(n, n, n, n).flatten(0, -2)",), ""),
        (("q = x.flatten(0, -2)",), ""),
        (("q = x.view(n, n, n).view(torch.int8)",), ""),
        (("q = x.view_as(n)",), ""),
        (("q = x.view_as(n.view(n, n, n))",), "assumed XF102"),
        (("q = x.view(n, n, n).expand(n)",), ""),
        (("q = x.view(n, n, n, n)[0]",), "assumed XF102"),
        (("q = x.view(n, n, n, n)[:, None]",), "left XF203"),
        (("q = x.view(n, n, n, n)[..., 0]",), "assumed XF102"),
        (("q = x.view(n, n, n)[n]",), ""),
        (("q = x.view(n, n, n)[n, ...]",), ""),
        (("q = x.view(n, n, n)[x > 0]",), ""),
        (("q = x.view(n, n, n, n).mean(1)",), "assumed XF102"),
        (("q = x.view(n, n, n, n).mean((0, 1))",), ""),
        (("q = x.view(n, n, n, n).sum(1, keepdim=True)",), "exact XF101 XF124"),
        (("q = x.view(n, n, n, n).mean(n)",), ""),
        (("q = x.view(n, n, n).to(n)",), "assumed XF102"),
        (("q = x.view(n, n, n).to(dtype=n)",), "assumed XF102"),
        (("q = x.view(n, n, n).to(n.dtype)",), "assumed XF102"),
        (("if q.ndim == 4 and n:", "    pass"), ""),
        (("assert q.ndim == 4 and n",), "assumed XF101"),
        (("assert q.ndim == 4 or n",), ""),
        (("assert not q.ndim != 4",), "assumed XF101"),
        (("assert q is not None and q.dim() == 3",), "assumed XF102"),
        (("if n is None:", "    q = x.view(n, n, n)", "else:", "    q = x.view(n, n, n)"), "assumed XF102"),
        (("n = None", "if n is None:", "    q = x.view(1, 2, 3)"), "assumed XF102"),
        (("n = None", "if n is not None:", "    q = x.view(1, 2, 3)"), ""),
        (("if len(q.shape) == 3:", "    q = q[:, :, None]"), ""),
        (("q += (1,)",), ""),
        (("q.x += 1",), ""),
        (("q *= 2", "b, m, c = q.shape"), "assumed XF102"),
        (("for i in range(3):", "    if i:", "        continue", "    q = x.view(n, n, n)"), ""),
        (("try:", "    q = x.view(n, n, n)", "except ValueError:", "    raise"), "assumed XF102"),
        (("with n as q:", "    pass"), ""),
        (("with torch.autocast('cuda', enabled=n):", "    q = F.linear(x, n).view(n, n, n)"), "assumed XF102"),
        (("with n('cuda'):", "    q = F.linear(x, n).view(n, n, n)"), "left XF201"),  # it may swallow what view raises
        (("del q[0]", "q = x.view(n, n, n)"), "assumed XF102"),
        (
            ("if n:", "    q = [x.view(n, n, n), k]", "else:", "    q = [x.view(n, n, n), v]", "q = q[0]"),
            "assumed XF102",
        ),
        (("g = lambda: xops", "q = x.view(n, n, n)"), "assumed XF102"),
    ],
)
def test_sizes_shapes_and_conditions(lines: tuple[str, ...], expected: str) -> None:
    assert proved(*lines) == (expected or UNPROVED)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("q: torch.Tensor, k, v, x, n", ""),
        ("*q, k=1, v=2", ""),
        ("q: Float[Tensor, 'b n h d'], k, v", "assumed XF101"),
        ("q: Float[Tensor, '... d'], k, v", ""),
        ("q: Float[Tensor, 'b n d'], k, v", "assumed XF102"),
    ],
)
def test_parameters(given: str, expected: str) -> None:
    assert proved(given=given) == (expected or UNPROVED)


@pytest.mark.parametrize(
    ("helper", "line", "expected"),
    [
        ("def g(t, n=2):\n    return t.view(n, n, n)\n\n\n", "q = g(x)", "assumed XF102"),
        ("def g(*t):\n    return t[0].view(1, 2, 3)\n\n\n", "q = g(x)", "assumed XF102"),
        ("def g(*t):\n    return t[0].view(1, 2, 3)\n\n\n", "q = g(*x)", ""),
        ("def g(t):\n    return g(t)\n\n\n", "q = g(x)", ""),
        ("@n\ndef g(t):\n    return t.view(1, 2, 3)\n\n\n", "q = g(x)", ""),
        ("@torch.no_grad()\ndef g(t):\n    return t.view(1, 2, 3)\n\n\n", "q = g(x)", ""),
        ("g = lambda t: t.view(1, 2, 3)\n\n\n", "q = g(x)", ""),
        ("def g(t, s):\n    return t.view(1, 2, 3)\n\n\n", "q = g(x)", "assumed XF102"),
        ("def g(t, s):\n    return t.view(1, 2, 3)\n\n\n", "q = g(x, n, n)", ""),
        (
            "def g(t):\n    if t:\n        return t.view(1, 2, 3)\n    return t.view(3, 2, 1)\n\n\n",
            "q = g(x)",
            "assumed XF102",
        ),
    ],
)
def test_a_function_of_the_file(helper: str, line: str, expected: str) -> None:
    assert proved(line, before=helper) == (expected or UNPROVED)
