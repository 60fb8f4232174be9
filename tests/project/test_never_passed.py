"""Whether a mask that is a parameter is passed anywhere: what becomes of the class, in each kind of syntax.

Each case is what a model does with the class or an object of it. Nothing in them passes a mask, so True is right and
False is careful, except where a case says that one may come.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from xf2sdpa.project.callers import Callers
from xf2sdpa.project.files import Project
from xf2sdpa.project.index import Index
from xf2sdpa.project.never_passed import never_passed

ATTENTION = """\
import torch.nn as nn
from xformers.ops import memory_efficient_attention


class MemEff(nn.Module):
    def forward(self, x, attn_bias=None):
        return memory_efficient_attention(x, x, x, attn_bias=attn_bias)
"""
MODEL = """\
from functools import partial

import torch.nn as nn
from attention import MemEff


def keep(part):
    return part


class Parts(nn.ModuleList):
    def forward(self, x):
        for part in self:
            x = part(x)
        return x


class Net(nn.Module):
    def __init__(self, kind=MemEff, *rest):
        super().__init__()
        self.attn = MemEff()
        {init}

    def forward(self, x, **more):
        {body}
        return self.attn(x)
"""


def asked(folder: Path, init: str = "pass", body: str = "pass", more: str = "", attention: str = ATTENTION) -> bool:
    """Whether it is known that nothing passes a mask."""
    texts = {"attention.py": attention, "model.py": MODEL.format(init=init, body=body) + more}
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    paths = [str(folder / name) for name in texts]
    index = Index(Project(paths))
    found = never_passed(index, Callers(index), paths[:1])
    return ("MemEff.forward", "attn_bias") in found.get(paths[0], frozenset())


FOLLOWED = {
    "annotated": "self.other: nn.Module = MemEff()",
    "an annotation alone": "other: MemEff",
    "an annotation of many": "other: list[MemEff] = []",
    "a list that grows": "self.many = nn.ModuleList()\n        self.many += [MemEff()]",
    "a list that is filled": "self.many = nn.ModuleList()\n        self.many.append(MemEff())",
    "a walrus": "print(other := MemEff())",
    "by a choice": "self.other = MemEff() if rest else None",
    "in a dictionary": "self.many = {'a': MemEff()}\n        self.many.get('a')(1)",
    "classes in a dictionary": "kinds = {'a': MemEff}\n        self.other = kinds.get('a')()",
    "classes in a dictionary, in turn": "kinds = {'a': MemEff}\n        self.all = [k() for k in kinds.values()]",
    "its type": "print(type(self.attn) is MemEff, type(self.attn).__name__, type(MemEff))",
    "a class made by its type": "self.other = type(self.attn)()",
    "its name": "print(MemEff.__name__, MemEff().training)",
    "asked for": "print(isinstance(self.attn, MemEff), hasattr(self.attn, 'x'))",
    "a list of lists": "self.many = list([MemEff(), MemEff()])\n        self.many[0](1)",
    "two joined": "self.many = [MemEff()] + [MemEff()] * 2",
    "numbered": "for number, part in enumerate([MemEff()]):\n            self.part = part",
    "by two names": "self.one, *self.rest = MemEff(), MemEff()",
    "put in a place": "self.many = [None]\n        self.many[0] = MemEff()",
    "by a function that gives it back": "self.other = keep(MemEff())",
    "by a function, by keyword": "self.other = keep(part=MemEff())",
    "in parts of the project's own": "self.parts_of = Parts([MemEff()])",
    "a part of it": "self.attn.to('cpu').eval()",
    "its weights": "print(getattr(self.attn, 'weight', None))",
    "by a class that fills in": "make = partial(MemEff)\n        self.other = make()",
    "called by its forward": "self.attn.forward(1)",
    "deleted": "del self.attn",
    "in text": "print(f'{self.attn}')",
}
UNKNOWN = {
    "all arguments together": "other(**{'kind': MemEff})",
    "by a library": "import library\n        library.wrap(MemEff())",
    "by a library, by keyword": "import library\n        library.wrap(part=MemEff())",
    "by what is given": "rest[0](MemEff())",
    "with a star": "keep(*[MemEff()])",
    "a function takes fewer": "keep(1, MemEff())",
    "a keyword that nothing has": "keep(nothing=MemEff())",
    "a dictionary by keywords": "many = dict(a=MemEff())",
    "its call": "self.go = self.attn.__call__",
    "its forward": "self.go = self.attn.forward",
    "its forward by name": "self.go = getattr(self.attn, 'forward')",
    "put in its place": "MemEff.forward = rest",
    "yielded": "yield MemEff()",
    "a key": "self.many = {MemEff(): 1}",
    "compared in arithmetic": "self.many = MemEff() - 1",
    "a method of the class": "self.go = MemEff.forward",
    "made by a method that it is given": "MemEff.made = classmethod(lambda cls: cls())\n        MemEff.made()(1, 2)",
    "keywords of keywords": "self.other = keep(**{'part': MemEff()})",
    "a call of a decorated one": "self.other = decorated(self.attn)",
    "a set of classes": "self.many = {MemEff}\n        self.many.pop()(1)",
    "joined in text": "self.many = MemEff % 1",
    "as a class of its own": "import abc\n\n        class A(metaclass=MemEff): pass",
    "stored as a call": "self.many()[0].part = MemEff()\n        f(self.many())[MemEff] = 1",
    "a default of a library": "lambda part=MemEff, *, other=MemEff: library(part)",
    "an unpacked target": "[self.many(1), x] = MemEff(), 1",
}


@pytest.mark.parametrize("init", FOLLOWED.values(), ids=list(FOLLOWED))
def test_it_is_followed(init: str, tmp_path: Path) -> None:
    assert asked(tmp_path, init)


@pytest.mark.parametrize("init", UNKNOWN.values(), ids=list(UNKNOWN))
def test_it_is_not_followed(init: str, tmp_path: Path) -> None:
    assert not asked(tmp_path, init)


PASSED = {
    "by a variable of a class": "\n\nclass A:\n    part = MemEff()\n    part(1, 2)\n",
    "by a function's result": "\n\ndef made():\n    return MemEff()\n\n\ndef f(x, m):\n    return made()(x, m)\n",
    "by a property": (
        "\n\nclass A:\n    @property\n    def part(self):\n        return MemEff()\n\n"
        "    def f(self, x, m):\n        return self.part(x, m)\n"
    ),
    "by what gives back what it is given": "\n\ndef f(x, m):\n    return keep(keep(MemEff()))(x, m)\n",
    "by its parts": "\n\ndef f(net, x, m):\n    return [part(x, m) for part in net.children()]\n",
    "by its type": "\n\ndef f(net, x, m):\n    return type(net.attn)()(x, m)\n",
    "by its class": "\n\ndef f(net, x, m):\n    return net.attn.__class__()(x, m)\n",
    "by parts of the project's own": (
        "\n\nclass More(nn.ModuleList):\n    def go(self, x, m):\n        return self[0](x, m)\n\n\n"
        "more = More([MemEff()])\n"
    ),
    "by parts that are made otherwise": (
        "\n\nclass More(nn.ModuleList):\n    def __init__(self, part):\n        super().__init__([part])\n\n"
        "    def go(self, x, m):\n        return self[0](x, m)\n\n\nmore = More(MemEff())\n"
    ),
    "by a default": "\n\ndef f(x, m, *, part=MemEff(), other: MemEff = 1) -> MemEff:\n    return part(x, m)\n",
    "by one of its own kind": (
        "\n\nclass A(MemEff):\n    @classmethod\n    def made(cls, x, m):\n        return cls()(x, m)\n"
    ),
    "by a diamond": (
        "\n\nclass A(MemEff):\n    pass\n\n\nclass B(MemEff):\n    pass\n\n\nclass C(A, B):\n    pass\n\n\n"
        "def f(x, m):\n    return C()(x, m)\n"
    ),
    "by a star": "\n\ndef f(x, m, *parts):\n    first, *rest = [MemEff()]\n"
    "    return [r(x, m) for r in [*rest, first]]\n",
    "in a keyword that is taken out": "\n\ndef f(**given):\n    return given['kind']()(1, 2)\n\n\nf(kind=MemEff)\n",
    "by super": "\n\nclass A(MemEff):\n    def forward(self, x, m):\n        return super().forward(x, m)\n\n\n"
    "def f(x, m):\n    return A()(x, m)\n",
    "decorated": "\n\n@registered\ndef made():\n    return MemEff()\n",
    "an async function's": "\n\nasync def f(x, m):\n    return MemEff()(x, attn_bias=m)\n",
}


@pytest.mark.parametrize("more", PASSED.values(), ids=list(PASSED))
def test_a_mask_may_come(more: str, tmp_path: Path) -> None:
    assert not asked(tmp_path, more=more)


def test_by_a_star_from_a_package(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("from attention import *\n", "utf-8")
    other = "from attention import *\n\n\ndef f(x, m):\n    return MemEff()(x, m)\n"
    (tmp_path / "other.py").write_text(other, "utf-8")
    (tmp_path / "attention.py").write_text(ATTENTION, "utf-8")
    paths = [str(tmp_path / name) for name in ("attention.py", "other.py", "__init__.py")]
    index = Index(Project(paths))
    assert not never_passed(index, Callers(index), paths[:1])


LISTS = """\


class Listed(MemEff):
    def forward(self, x{annotation}):
        if {test}:
            return [super(Listed, self).forward(part, self.mask) for part in x]
        {before}
        return super().forward(x)


def f(net, x, *many):
    {made}
    return Listed()({given})
"""
NO_LISTS = {
    "a number of a shape": ("b, n = x.shape", "b"),
    "computed": ("y = x * 2 + 1", "y"),
    "one of two that are computed": ("y = x * 2 if many else -x", "y"),
    "changed in place": ("y = x + 1\n    y += 2", "y"),
    "a part by a slice": ("pass", "x[:, 1:]"),
    "what torch makes": ("import torch\n    y = torch.zeros(2)", "y"),
}
MAYBE_LISTS = {
    "a list": ("pass", "[x, x]"),
    "made by list": ("y = list(many)", "y"),
    "one of two": ("y = x * 2 if many else [x]", "y"),
    "an item": ("pass", "many[0]"),
    "an attribute": ("pass", "net.x"),
    "of the module": ("pass", "MANY"),
    "what a function returns": ("pass", "listed(x)"),
    "what an object of its own returns": ("pass", "net.listed(x)"),
    "all": ("pass", "*many"),
}


def listed(folder: Path, made: str, given: str, **changes: str) -> bool:
    """Whether the path for lists, which passes a mask, is known never to be taken."""
    fields = {"annotation": "", "test": "isinstance(x, list)", "before": "pass", "made": made, "given": given}
    more = LISTS.format(**fields | changes) + "\n\nMANY = [1]\n\n\ndef listed(x):\n    made = [x]\n    return made\n"
    return asked(folder, more=more)


@pytest.mark.parametrize(("made", "given"), MAYBE_LISTS.values(), ids=list(MAYBE_LISTS))
def test_a_list_may_come(made: str, given: str, tmp_path: Path) -> None:
    assert not listed(tmp_path, made, given)


@pytest.mark.parametrize(("made", "given"), NO_LISTS.values(), ids=list(NO_LISTS))
def test_no_list_comes(made: str, given: str, tmp_path: Path) -> None:
    assert listed(tmp_path, made, given)
