"""An import in front of a migrated call is idle, in whatever arm, loop or function it is done, and done again.

Left behind it raises, where xformers is missing, in front of a call that does without; and the report says that
something still uses it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import SHAPE, Case, check, table

CALL = "xops.memory_efficient_attention(q, k, v)"
IMPORT = "import xformers.ops as xops"


def idle(name: str, text: str, **more: str) -> Case:
    return Case(
        name=name,
        files={"net.py": text, **{f"{n}.py": t for n, t in more.items()}},
        run="import net\nprint(tuple(net.attend(q, k, v).shape))\nprint(tuple(net.attend(q, k, v).shape))",
        present=f"{SHAPE}\n{SHAPE}",
        absent=f"{SHAPE}\n{SHAPE}",
        free=True,
        unsaid=("still needs? xformers", "is still used"),
    )


def inside(name: str, body: str) -> Case:
    """The body of a function with the shape in its first line."""
    lines = "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
    return idle(name, f"def attend(q, k, v):\n    b, n, h, d = q.shape\n{lines}")


CASES = [
    idle(
        "done in an arm that asks the globals",
        f"if 'xops' not in globals():\n    {IMPORT}\n\n\ndef attend(q, k, v):\n"
        f"    b, n, h, d = q.shape\n    return {CALL}\n",
    ),
    idle(
        "done again in an arm that asks the globals",
        f"{IMPORT}\n\n\ndef attend(q, k, v):\n    global xops\n    b, n, h, d = q.shape\n"
        "    if 'xops' not in globals():\n"
        f"        {IMPORT}\n    return {CALL}\n",
    ),
    idle(
        "done by name, where NameError says it is not there",
        "def attend(q, k, v):\n    global xops\n    b, n, h, d = q.shape\n    try:\n        xops\n"
        "    except NameError:\n"
        f"        {IMPORT}\n    return {CALL}\n",
    ),
    idle(
        "done twice",
        f"{IMPORT}\nimport torch\n{IMPORT}\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n    return {CALL}\n",
    ),
    idle(
        "done by module and by function",
        f"{IMPORT}\n\n\ndef attend(q, k, v):\n    {IMPORT}\n\n    b, n, h, d = q.shape\n    return {CALL}\n",
    ),
    idle(
        "the package and its module",
        "import xformers\nimport xformers.ops\n\n\ndef attend(q, k, v):\n    b, n, h, d = q.shape\n"
        "    return xformers.ops.memory_efficient_attention(q, k, v)\n",
    ),
    idle(
        "made global by a function that sets up",
        f"def set_up():\n    global xops\n    {IMPORT}\n\n\nset_up()\n\n\ndef attend(q, k, v):\n"
        f"    b, n, h, d = q.shape\n    return {CALL}\n",
    ),
    idle(
        "made global late, with None before",
        "xops = None\n\n\ndef attend(q, k, v):\n    global xops\n    if xops is None:\n"
        f"        {IMPORT}\n\n    b, n, h, d = q.shape\n"
        f"    return {CALL}\n",
    ),
    idle(
        "in the body of a class",
        f"class Attention:\n    {IMPORT}\n\n    def forward(self, q, k, v):\n        {IMPORT}\n\n"
        f"        b, n, h, d = q.shape\n        return {CALL}\n\n\n"
        "def attend(q, k, v):\n    return Attention().forward(q, k, v)\n",
    ),
    inside("in an arm that asks the globals", f"if 'xops' not in globals():\n    {IMPORT}\n\nreturn {CALL}\n"),
    inside("in an arm that asks the locals", f"if 'xops' not in locals():\n    {IMPORT}\n\nreturn {CALL}\n"),
    idle(
        "in a guard, done again in an arm",
        f"try:\n    {IMPORT}\nexcept ImportError:\n    pass\n\n\ndef attend(q, k, v):\n"
        "    global xops\n    if 'xops' not in globals():\n"
        f"        {IMPORT}\n    b, n, h, d = q.shape\n    return {CALL}\n",
    ),
    idle(
        "in a guard by condition, done again where it is needed",
        f"import importlib.util\n\nif importlib.util.find_spec('xformers'):\n    {IMPORT}\n\n\n"
        "def attend(q, k, v, fast=True):\n    global xops\n    if fast:\n"
        f"        if 'xops' not in globals():\n            {IMPORT}\n        b, n, h, d = q.shape\n"
        f"        return {CALL}\n    return q\n",
    ),
    idle(
        "in a constructor, for an error early on",
        "class Attention:\n    def __init__(self):\n        import xformers.ops  # noqa: F401\n\n"
        f"    def forward(self, q, k, v):\n        {IMPORT}\n\n"
        f"        b, n, h, d = q.shape\n        return {CALL}\n\n\ndef attend(q, k, v):\n"
        "    return Attention().forward(q, k, v)\n",
    ),
    idle(
        "in a constructor, kept by a global",
        "class Attention:\n    def __init__(self, fast=True):\n        if fast:\n"
        f"            global xops\n            {IMPORT}\n\n    def forward(self, q, k, v):\n"
        f"        b, n, h, d = q.shape\n        return {CALL}\n\n\ndef attend(q, k, v):\n"
        "    return Attention().forward(q, k, v)\n",
    ),
    Case(
        name="in the body of a class, where another file reads it",
        files={
            "net.py": f"class Attention:\n    {IMPORT}\n\n    def forward(self, q, k, v):\n        {IMPORT}\n\n"
            f"        b, n, h, d = q.shape\n        return {CALL}\n",
            "use.py": "from net import Attention\n\nNAME = Attention.xops.__name__\n",
        },
        run="import use\nprint(use.NAME)",
        present="xformers.ops",
        has=(("net.py", f"^    {IMPORT}"),),
        said=(r"^net\.py:2:\d+: XF401 ",),
    ),
    inside("in both arms", f"if n > 3:\n    {IMPORT}\nelse:\n    {IMPORT}\nreturn {CALL}\n"),
    inside(
        "in one arm, the call after it",
        f"if q.requires_grad:\n    {IMPORT}\n\n    return {CALL}\n{IMPORT}\n\nreturn {CALL}\n",
    ),
    inside("in an elif", f"if n > 90:\n    return q\nelif n > 1:\n    {IMPORT}\n\n    return {CALL}\nreturn q\n"),
    inside("in a loop", f"for i in range(1):\n    {IMPORT}\n\n    out = {CALL}\nreturn out\n"),
    inside("in a with", f"with __import__('torch').no_grad():\n    {IMPORT}\n\n    out = {CALL}\nreturn out\n"),
    inside("in a try with a finally", f"try:\n    {IMPORT}\n\n    out = {CALL}\nfinally:\n    del b\nreturn out\n"),
    inside(
        "in a match",
        f"match n:\n    case 5:\n        {IMPORT}\n\n        out = {CALL}\n    case _:\n        out = q\nreturn out\n",
    ),
    inside("around a nested function", f"{IMPORT}\n\ndef inner():\n    return {CALL}\n\nreturn inner()\n"),
    inside("in front of a lambda", f"{IMPORT}\n\nreturn (lambda q: {CALL})(q)\n"),
    inside("beside another import", f"import math, xformers.ops as xops\n\nreturn {CALL} * math.cos(0)\n"),
    idle(
        "with a name that only a message reads",
        "from xformers import __version__ as release\nfrom xformers import ops as xops\n\n\n"
        "def attend(q, k, v):\n    b, n, h, d = q.shape\n"
        f"    return {CALL}\n",
    ),
    idle(
        "for a type checker",
        "from __future__ import annotations\n\nfrom typing import TYPE_CHECKING\n\n"
        "import xformers.ops as xops\n\nif TYPE_CHECKING:\n"
        f"    from torch import Tensor\n    {IMPORT}\n\n\n"
        "def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:\n    b, n, h, d = q.shape\n"
        f"    return {CALL}\n",
    ),
]
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_dead_imports(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
