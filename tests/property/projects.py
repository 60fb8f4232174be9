"""Projects of two files with an attention that takes a mask as a parameter: who calls it, and what is passed.

Both axes are tables. Any caller goes with anything that is passed, and the project says itself whether a mask comes. A
second caller, which passes nothing, is in all of them: whoever overlooks the first takes the mask for one that never
comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

ATTENTION = """\
import torch.nn as nn
import torch.nn.functional as F
from xformers.ops import memory_efficient_attention


class Attention(nn.Module):
    def __init__(self, dim=24, heads=3):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)

    def forward(self, x, attn_bias=None):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).unbind(2)
        return memory_efficient_attention(q, k, v, attn_bias=attn_bias).reshape(b, n, c)
"""
MAIN = """\
import functools
import torch
import torch.nn as nn
import attention
from attention import Attention
from torch.utils.checkpoint import checkpoint

{module}


class Net(nn.Module):
    def __init__(self{parameters}):
        super().__init__()
{init}
        self.plain = Attention()

    def forward(self, x, mask=None):
        return {call} + self.plain(x)
{methods}

def run(q, k, v):
    torch.manual_seed(0)
    x = q.flatten(2) + k.flatten(2) * v.flatten(2)
    m = torch.linspace(-2, 2, 150, dtype=x.dtype).reshape(2, 3, 5, 5)
    return "fast", Net().to(x.dtype)(x{given})
"""


@dataclass(frozen=True)
class Caller:
    """Who calls the attention.

    Attributes:
        call: the call in `Net.forward`; `{args}` is what it is given.
        followed: whether the tool follows such a caller at all.
        takes: whether a mask can be passed in any way (`both`), or by its place only (`place`), or not at all (`none`).
    """

    name: str
    call: str = "self.attn({args})"
    init: str = "self.attn = Attention()"
    module: str = ""
    parameters: str = ""
    methods: str = ""
    followed: bool = True
    takes: str = "both"
    makes_one: bool = False
    """Whether it makes a mask of its own."""


CALLERS = (
    Caller("an attribute"),
    Caller("by a default", init="self.attn = kind()", parameters=", kind=Attention"),
    Caller("by partial", init="self.attn = make()", parameters=", make=functools.partial(Attention, heads=3)"),
    Caller("one of a list", "[part({args}) for part in self.parts][0]", "self.parts = nn.ModuleList([Attention()])"),
    Caller("by a number", "self.parts[0]({args})", "self.parts = nn.ModuleList([Attention()])"),
    Caller("a sequence", "self.parts({args})", "self.parts = nn.Sequential(Attention())", takes="none"),
    Caller("by a function", init="self.attn = made()", module="def made():\n    return Attention()"),
    Caller("a table", init='self.attn = KINDS["one"]()', module='KINDS = {"one": Attention}'),
    Caller("a module's name", init="self.attn = attention.Attention()"),
    Caller("forward by name", "self.attn.forward({args})"),
    Caller("a function that is given it", "called(self.attn, {args})",
           module="def called(part, *given):\n    return part(*given)", followed=False, takes="place"),
    Caller("a function with parameters", "called(self.attn, {args})",
           module="def called(part, x, m=None):\n    return part(x, m)", takes="place"),
    Caller("checkpoint", "checkpoint(self.attn, {args}, use_reentrant=False)", followed=False, takes="place"),
    Caller("a name that is built", init='self.attn = getattr(attention, "Atten" + kind)()', parameters=', kind="tion"',
           followed=False),
    Caller("a name in a string", init='self.attn = getattr(attention, "Attention")()', followed=False),
    Caller("a registry", init="self.attn = KINDS[0]()", module="KINDS = []\nKINDS.append(Attention)"),
    Caller("a wrapper of torch", init="self.attn = nn.DataParallel(Attention())", followed=False),
    Caller("a subclass that makes one", init="self.attn = Other()", takes="none", makes_one=True,
           module="class Other(Attention):\n    def forward(self, x):\n"
           "        return super().forward(x, torch.ones(2, 3, 5, 5, dtype=x.dtype).tril() * 3)"),
    Caller("a subclass", init="self.attn = Other()",
           module="class Other(Attention):\n    def forward(self, x, attn_bias=None):\n"
           "        return super().forward(x, attn_bias)"),
)  # fmt: skip


@dataclass(frozen=True)
class Passed:
    """What is passed.

    Attributes:
        args: what the call is given.
        given: what `Net` is called with besides.
        mask: whether a mask comes.
        way: `place` or `keyword`, or empty for nothing.
    """

    name: str
    args: str
    given: str = ""
    mask: bool = False
    way: str = ""
    followed: bool = True


PASSED = (
    Passed("nothing", "x"),
    Passed("None", "x, None", way="place"),
    Passed("None by name", "x, attn_bias=None", way="keyword"),
    Passed("its own, which is left out", "x, mask", way="place"),
    Passed("its own by name, which is left out", "x, attn_bias=mask", way="keyword"),
    Passed("its own, given None", "x, mask", ", None", way="place"),
    Passed("a mask", "x, torch.ones(2, 3, 5, 5, dtype=x.dtype).tril() * 3", mask=True, way="place"),
    Passed("a mask by name", "x, attn_bias=torch.ones(2, 3, 5, 5, dtype=x.dtype).tril() * 3", mask=True, way="keyword"),
    Passed("its own, given a mask", "x, mask", ", m", mask=True, way="place"),
    Passed("its own by name, given a mask by name", "x, attn_bias=mask", ", mask=m", mask=True, way="keyword"),
    Passed("unpacked", "*(x, m2(x))", mask=True, way="place", followed=False),
    Passed("unpacked by name", 'x, **{"attn_bias": m2(x)}', mask=True, way="keyword", followed=False),
)


@dataclass(frozen=True)
class Project:
    """A project: its files, who calls and what is passed, and whether the call may and must be inline."""

    caller: Caller
    passed: Passed

    @property
    def name(self) -> str:
        """Both axes."""
        return f"{self.caller.name}: {self.passed.name}"

    @property
    def must_be_inline(self) -> bool:
        """Whether all is followed and no mask comes."""
        return self.caller.followed and self.passed.followed and not self.mask

    @property
    def mask(self) -> bool:
        """Whether a mask comes."""
        return self.passed.mask or self.caller.makes_one

    @property
    def files(self) -> dict[str, str]:
        """The two files."""
        caller, passed = self.caller, self.passed
        module = caller.module + (
            "\n\n\ndef m2(x):\n    return torch.ones(2, 3, 5, 5, dtype=x.dtype).tril() * 3"
            if "m2" in passed.args
            else ""
        )
        main = MAIN.format(
            module=module.strip(),
            parameters=caller.parameters,
            init=f"        {caller.init}",
            call=caller.call.format(args=passed.args),
            methods=caller.methods,
            given=passed.given,
        )
        return {"attention.py": ATTENTION, "main.py": main}


def projects() -> Iterator[Project]:
    """Every pair of both axes that Python can run."""
    for caller in CALLERS:
        for passed in PASSED:
            if caller.takes == "none" and passed.way:
                continue
            if caller.takes == "place" and passed.way == "keyword":
                continue
            yield Project(caller, passed)
