"""Which expressions are models and pipelines of diffusers."""

from __future__ import annotations

import ast

import pytest

from xf2sdpa.analysis.diffusers_objects import class_of
from xf2sdpa.analysis.names import Names

NET = "UNet2DConditionModel"
HEAD = "import diffusers\nfrom diffusers import AutoencoderKL, UNet2DConditionModel as U\n\n\n"


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
