"""What statements around a call tell: autocast switched off."""

import pytest

from xf2sdpa.rewrite.engine import rewrite_text

PROGRAM = """\
import torch
import torch.nn.functional as F
import xformers.ops as xops


def attend(x, device, on):
    q = x.view(2, 5, 3, -1){cast}
    with {context}:
        {body}
"""
CALL = "return xops.memory_efficient_attention(q, q, q).flatten(2)"


@pytest.mark.parametrize(
    ("context", "kind"),
    [
        ('torch.autocast("cuda", enabled=False)', "exact"),
        ('torch.autocast(device_type="cuda", dtype=torch.float16, enabled=False)', "exact"),
        ("torch.cuda.amp.autocast(enabled=False)", "exact"),
        ("torch.cuda.amp.autocast(False)", "exact"),
        ('torch.autocast("cpu", enabled=False)', "not exact"),
        ("torch.autocast(device, enabled=False)", "not exact"),
        ('torch.autocast("cuda", enabled=on)', "not exact"),
        ('torch.autocast("cuda")', "not exact"),
        ("torch.no_grad()", "not exact"),
    ],
)
@pytest.mark.parametrize("cast", ["", ".float()"])
def test_with_autocast_off_no_dtype_changes(context: str, kind: str, cast: str) -> None:
    (site,) = rewrite_text(PROGRAM.format(context=context, body=CALL, cast=cast)).sites
    switched_off = any(note.code == "XF124" for note in site.notes)
    assert (site.kind.value == "exact" and not switched_off) == (kind == "exact")


@pytest.mark.parametrize(
    "body",
    [
        f'with torch.autocast("cuda"):\n            {CALL}',
        f"pass\n    {CALL}",
        f"def later(q):\n            q = q.view(2, 5, 3, -1)\n            {CALL}\n        return later",
    ],
    ids=["switched on again", "after it", "called later"],
)
def test_autocast_is_off_only_inside(body: str) -> None:
    text = PROGRAM.format(context='torch.autocast("cuda", enabled=False)', body=body, cast="")
    (site,) = rewrite_text(text).sites
    assert site.kind.value == "assumed"


@pytest.mark.parametrize(
    "made", ["return project(x)", "y = [project(x)]\n    return y[0]", "y = project(x)\n    return y"]
)
def test_what_was_projected_with_autocast_off_is_not_lowered(made: str) -> None:
    text = f"""\
import torch
import torch.nn.functional as F
import xformers.ops as xops


def project(x, w):
    with torch.autocast("cuda", enabled=False):
        {made.replace("project(x)", "F.linear(x, w)")}


def attend(x, w):
    q = project(x, w).view(2, 5, 3, -1)
    return xops.memory_efficient_attention(q, q, q).flatten(2)
"""
    (site,) = rewrite_text(text).sites
    assert site.kind.value == "assumed"


ROUND = """\
import xformers.ops as xops


def attend(x, y, n):
    b, m, h, d = x.shape
    b, m, d = y.shape
    {first} = {values}
    for _ in range(n):
        out = xops.memory_efficient_attention(a0, a0, a0)
        {turns}
    return out
"""


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_a_value_that_goes_round_a_loop_is_followed_to_its_end(count: int) -> None:
    """After `count` rounds the 3-D `y` has come to the call, which began with the 4-D `x`."""
    names = [f"a{number}" for number in range(count)]
    turns = "\n        ".join(f"{one} = {other}" for one, other in zip(names, [*names[1:], "y"], strict=True))
    text = ROUND.format(first=" = ".join(names), values="x", turns=turns)
    (site,) = rewrite_text(text).sites
    assert site.code in ("XF201", "XF202")
    (site,) = rewrite_text(text.replace("= y\n", "= x * 2\n")).sites
    assert site.code == "XF101"
