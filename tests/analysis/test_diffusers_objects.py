"""Which expressions are models and pipelines of diffusers."""

from __future__ import annotations

import ast

import pytest

from xf2sdpa.analysis.diffusers_objects import class_of
from xf2sdpa.analysis.names import Names

NET = "UNet2DConditionModel"
HEAD = "import diffusers\nfrom diffusers import AutoencoderKL, UNet2DConditionModel as U\n\n\n"


PARTS = """\
class Parts:
    net: U
    size: int


class A:
    def __init__(self, net):
        self.parts = Parts(net, 3)

    @property
    def net(self):
        return self.parts.net

    def run(self):
        look(self.net)
"""


@pytest.mark.parametrize(
    ("old", "new", "made"),
    [
        ("look(self.net)", "look(self.net)", NET),
        ("look(self.net)", "look(self.net.part)", NET),
        ("look(self.net)", "look(self.parts.net)", NET),
        ("net: U", "net: Any", ""),
        ("    net: U\n", "", ""),
        ("Parts(net, 3)", "make(net, 3)", ""),
        ("Parts(net, 3)", "Parts(net, 3)\n        self.parts = net", ""),
        ("    @property\n", "", ""),
        ("    @property\n", "    @cached\n", ""),
        ("return self.parts.net", "return self.parts.size", ""),
        ("look(self.net)", "self.net = 3\n        look(self.net)", ""),
        ("    def run", "class B:\n    def run", ""),
        ("class Parts:", "class Parts(Base):", NET),
    ],
)
def test_a_property_and_a_field_that_is_annotated(old: str, new: str, made: str) -> None:
    assert old in PARTS
    names = Names(ast.parse(HEAD + PARTS.replace(old, new)))
    (call,) = (call for call in names.calls if getattr(call.func, "id", "") == "look")
    assert class_of(names, call.args[0]) == made


@pytest.mark.parametrize(
    ("body", "made"),
    [
        ("def f():\n    x = U.from_pretrained('a')\n    look(x)\n", "UNet2DConditionModel"),
        ("def f():\n    x = diffusers.UNet2DModel(3)\n    look(x)\n", "UNet2DModel"),
        ("def f(x: AutoencoderKL):\n    look(x)\n", "AutoencoderKL"),
        ("def f():\n    x = None\n    x = U.from_config({}).to('cuda')\n    look(x)\n", "UNet2DConditionModel"),
        ("def f(a):\n    x = U()\n    x, o = a.prepare(x, o)\n    look(x)\n", "UNet2DConditionModel"),
        ("class A:\n    def g(self):\n        self.x = U()\n        look(self.x.part)\n", "UNet2DConditionModel"),
        ("def f(a):\n    x = U()\n    x = get_peft_model(x, a)\n    look(x)\n", "UNet2DConditionModel"),
        ("def f():\n    p = diffusers.Pipe()\n    x, y = p.unet, p.vae\n    look(x)\n", "Pipe"),
        ("class A:\n    def g(self, p: U):\n        self.x, y = p, 1\n        look(self.x)\n", NET),
        ("def f():\n    x = U()\n    look(x)\n    del x\n", NET),
        ("def g(a):\n    return U()\n\n\ndef f(a):\n    look(g(a))\n", NET),
        ("def g(a):\n    x = U()\n    return x.to(a)\n\n\ndef f(a):\n    x = g(a)\n    look(x)\n", NET),
        ("def g(a):\n    x = U()\n    return a, x.to(a)\n\n\ndef f(a):\n    y, x = g(a)\n    look(x)\n", NET),
        ("def g(a):\n    return a, U()\n\n\nclass A:\n    def f(self, a):\n        self.y, self.x = g(a)\n"
         "        look(self.x)\n", NET),
        ("def g(a):\n    x = U()\n    return a, x\n\n\ndef f(a):\n    y, x = g(a)\n    look(y)\n", ""),
        ("def g(a):\n    if a:\n        return a, a\n    return a, U()\n\n\ndef f(a):\n    y, x = g(a)\n"
         "    look(x)\n", ""),
        ("def g(a):\n    return a, U(), a\n\n\ndef f(a):\n    *y, x = g(a)\n    look(x)\n", ""),
        ("def g(a):\n    return [a, U()]\n\n\ndef f(a):\n    y, x = g(a)\n    look(x)\n", ""),
        ("def g(a):\n    yield U()\n    return U()\n\n\ndef f(a):\n    look(g(a))\n", ""),
        ("async def g(a):\n    return U()\n\n\ndef f(a):\n    look(g(a))\n", ""),
        ("@once\ndef g(a):\n    return U()\n\n\ndef f(a):\n    look(g(a))\n", ""),
        ("def g(a):\n    return U()\n\n\ng = a\n\n\ndef f(a):\n    look(g(a))\n", ""),
        ("def g(a):\n    def h():\n        return U()\n\n\ndef f(a):\n    look(g(a))\n", ""),
        ("def g(a):\n    return g(a)\n\n\ndef f(a):\n    look(g(a))\n", ""),
        ("class A:\n    def g(self):\n        return U()\n\n    def f(self):\n        look(g(self))\n", ""),
        ("f = lambda x: look(x)\nf(U())\n", ""),
        ("def f(x: U, a):\n    x = a.make(x)\n    look(x)\n", ""),
        ("def f(x):\n    look(x)\n", ""),
        ("def f(a):\n    x = U()\n    x = a.make()\n    look(x)\n", ""),
        ("def f(a):\n    x = diffusers.utils.load_image(a)\n    look(x)\n", ""),
        ("def f(a):\n    for x in a:\n        look(x)\n", ""),
        ("def f(a):\n    look(a.b.c.d.e.f.g.h)\n", ""),
        ("def f(a):\n    look(a[0])\n", ""),
        ("def f(x: Mine):\n    look(x)\n", ""),
        ("class U:\n    pass\n\n\ndef f():\n    look(U())\n", ""),
        ("def f():\n    x = x.to('cuda')\n    look(x)\n", ""),
    ],
)  # fmt: skip
def test_class_of(body: str, made: str) -> None:
    names = Names(ast.parse(HEAD + body))
    (call,) = (call for call in names.calls if getattr(call.func, "id", "") == "look")
    assert class_of(names, call.args[0]) == made


def test_what_the_project_holds_is_its_own() -> None:
    tree = ast.parse(HEAD + "look(U())\nfrom pk import Pipe\nlook(Pipe.from_pretrained('a'))\n")
    names = Names(tree, None, {"diffusers"}, {"pk.Pipe"})
    found = [class_of(names, call.args[0]) for call in names.calls if getattr(call.func, "id", "") == "look"]
    assert sorted(found) == ["", "Pipe"]
