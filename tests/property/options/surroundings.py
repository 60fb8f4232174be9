"""What stands around the call, and what else the file takes from xformers."""

from __future__ import annotations

from dataclasses import dataclass

from tests.property.options.option import Option


@dataclass(frozen=True)
class Twist(Option):
    """Something around the call that might mislead: functions of the module, text before, blocks around.

    `keeps` must stand in the new text as it stood in the old one.
    """

    module: str = ""
    before: str = ""
    around: str = "{body}"
    keeps: bool = False


OWN_METHOD = """class Pure:
    def memory_efficient_attention(self, q, k, v):
        return q + k + v

    def both(self, q, k, v):
        return self.memory_efficient_attention(q, k, v)"""
SAME_NAMES = """def fold(q, k, v):
    b, h, n = q.shape
    q, k, v = q[0], k[0], v[0]
    return q"""
TWISTS = (
    Twist("none"),
    Twist("comment", before="# out = {op}(q, k, v)", keeps=True),
    Twist("string", before='usage = "out = {op}(q, k, v)"', keeps=True),
    Twist("method of that name", OWN_METHOD, keeps=True),
    Twist("name as parameter", "def through({root}, q, k, v):\n    return {op}(q, k, v)", keeps=True),
    Twist("same names elsewhere", SAME_NAMES),
    Twist("if", around="if h > 0:\n{indented}"),
    Twist("else", around="if h < 0:\n    return None\nelse:\n{indented}"),
    Twist("loop", around="for _ in range(1):\n{indented}"),
    Twist("while", around="while True:\n{indented}", hard=True),
    Twist("try", around="try:\n{indented}\nfinally:\n    x = None", hard=True),
    Twist("no_grad", around="with torch.no_grad():\n{indented}"),
    Twist("autocast off", around='with torch.autocast("cpu", enabled=False):\n{indented}', hard=True),
    Twist("inner function", around="def attend():\n{indented}\n\nreturn attend()", hard=True),
    Twist("rank by flag", before="if q.dim() == 4:\n    m = m", hard=True),
    Twist("deleted later", before="unused = q.shape[0]\ndel unused"),
)


@dataclass(frozen=True)
class Neighbour(Option):
    """What else the file takes from xformers: a name, and code of module level and of `run` that uses it."""

    uses: str = ""
    module: str = ""
    run: str = ""
    second_site: bool = False


NEIGHBOURS = (
    Neighbour("none"),
    Neighbour("class in use", "AttentionBias", run="assert not isinstance(q, {used})"),
    Neighbour("class named", "AttentionOpBase", module="OPERATOR = {used}"),
    Neighbour(
        "a site left",
        module="def wrapper(q, k, v):\n    return {op}(q, k, v)",
        run="other = wrapper(q, k, v)",
        second_site=True,
    ),
)
