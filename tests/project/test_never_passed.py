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
    "its name is said": "print('attn')",
    "a word that is looked for in another": "print('getattr')",
    "a class that calls the forward of another": "class A(MemEff):\n            def forward(self, x):\n"
    "                return self.other.forward(x)",
    "an object in an annotation, which nobody reads": "other: MemEff() = None",
    "the type of something that has no name": "print(type(rest[0]()) is MemEff)",
    "a function for all parts, which does nothing with them": "self.apply(lambda part: None)",
    "a function for all parts, with something more": "def touch(n, part):\n            part.eval(n)\n\n"
    "        self.apply(partial(touch, 1))",
    "a method of a library's class for all parts": "self.apply(self._init_weights)",
    "a method of its own for all parts": "class A:\n            def touch(self, part):\n                part.eval()\n\n"
    "        self.apply(A().touch)",
    "one of two for all parts": "self.apply(print if rest else lambda part: None)",
    "a partial of nothing": "self.apply(partial(**rest))",
    "a function of torch's for all parts": "import torch\n        self.apply(torch.nn.init.zeros_)",
    "an image": "rest[0].apply(rest[0].sharpen(1))",
    "an autograd function": "Square.apply(rest[0])",
    "a function with more than one argument": "self.apply(print, 1)",
    "words about parts alone": "print('children', 'apply')  # modules",
    "a method of its base besides the forward": "class A(MemEff):\n            def forward(self, x):\n"
    "                print(super().extra_repr())\n                return super().forward(x)",
    "a static method that looks like one": "class A:\n            @staticmethod\n            def attn(x):\n"
    "                return MemEff()(x)",
    "a question about its parts": "print(self.attn.children, '.children()')",
}
UNKNOWN = {
    "a library's function for all parts": "import library\n        self.apply(library.prepare)",
    "a class that is registered": "@library.kind\n        class A(MemEff):\n            pass",
    "put into what a call returns": "self.many().append(MemEff())",
    "given by a keyword that no function has": "print(lambda call: call(nothing=MemEff))",
    "the base of a class made of an object": "class A(self.attn): pass",
    "looked up by its name": "print(getattr(rest[0], 'attn')(1, 2))",
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
    "by a function for all parts": "\n\ndef f(net, x, m):\n    net.apply(lambda part: part(x, m))\n",
    "by a function for all parts, partly filled": (
        "\n\ndef call(x, m, part):\n    part(x, m)\n\n\n"
        "def f(net, x, m):\n    net.apply(partial(partial(call, x), m))\n"
    ),
    "by a lambda for all parts, partly filled": (
        "\n\ndef f(net, x, m):\n    net.apply(partial(lambda x, part: part(x, m), x))\n"
    ),
    "by a static method for all parts": (
        "\n\nclass A:\n    @staticmethod\n    def call(part):\n        part(1, 2)\n\n\n"
        "def f(net):\n    net.apply(A.call)\n"
    ),
    "by a function for all parts, of unknown arguments": "\n\ndef f(net, given):\n    net.apply(partial(*given))\n",
    "by a function for all parts, in a variable": (
        "\n\ndef f(net, x, m):\n    call = lambda part: part(x, m)\n    net.apply(call)\n"
    ),
    "by a function for all parts, in an attribute": (
        "\n\ndef f(net, x, m):\n    net.call = lambda part: part(x, m)\n    net.apply(net.call)\n"
    ),
    "by a function for all parts, out of a table": (
        "\n\ndef f(net, x, m):\n    net.apply([lambda part: part(x, m)][0])\n"
    ),
    "by a function for all parts, made by another": (
        "\n\ndef made(x, m):\n    return lambda part: part(x, m)\n\n\ndef f(net, x, m):\n    net.apply(made(x, m))\n"
    ),
    "by an object for all parts": (
        "\n\nclass A:\n    def __call__(self, part):\n        part(1, 2)\n\n\ndef f(net):\n    net.apply(A())\n"
    ),
    "by one of two functions for all parts": (
        "\n\ndef f(net, x, m):\n    net.apply(print if x else lambda part: part(x, m))\n"
    ),
    "by a function of any number of parts": "\n\ndef f(net, x, m):\n    net.apply(lambda *parts: parts[0](x, m))\n",
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
    "by what a class gives when it is called": (
        "\n\nclass A:\n    def __call__(self):\n        return MemEff()\n\n\ndef f(x, m):\n    return A()()(x, m)\n"
    ),
    "by what gives it back on two paths": (
        "\n\ndef same(part, other):\n    if other:\n        return part\n    return part\n\n\n"
        "def f(x, m):\n    return same(keep(MemEff()), 1)(x, m)\n"
    ),
    "in a keyword that is popped, by what is called": (
        "\n\ndef f(**given):\n    return given.pop('kind')()(1, 2)\n\n\ndef g(call):\n    return call(kind=MemEff)\n"
        "\n\ng(f)\n"
    ),
    "in a keyword that is read, by what is called": (
        "\n\ndef f(**given):\n    return given['kind']()(1, 2)\n\n\ndef g(call):\n    return call(kind=MemEff)\n"
        "\n\ng(f)\n"
    ),
    "in a default that is no None": (
        "\n\ndef f(net, x, m=1):\n    return net.attn(x, m)\n\n\ndef g(net, x):\n    return f(net, x)\n"
    ),
    "by what was loaded, by its forward": (
        "\n\ndef f(path, x, m):\n    import torch\n\n    return torch.load(path).forward(x, m)\n"
    ),
    "by its name, in a condition of the module": "\n\nif __name__ == 'MemEff':\n    pass\n",
    "by an attribute of what was made of its name": (
        "\n\ndef f(self, name, x, m):\n    return getattr(self, name)(x, m)\n\n\nclass B:\n"
        "    def MemEff(self):\n        return MemEff()\n"
    ),
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


NEVER_RUN = {
    "it calls itself": "def _go(self, x, m):\n        return self._go(x, m) + self.attn(x, m)",
    "two that call each other": (
        "def _go(self, x, m):\n        return self._come(x, m) + self.attn(x, m)\n\n"
        "    def _come(self, x, m):\n        return self._go(x, m) + self.attn(x, m)"
    ),
}


@pytest.mark.parametrize("method", NEVER_RUN.values(), ids=list(NEVER_RUN))
def test_methods_that_only_call_themselves_never_run(method: str, tmp_path: Path) -> None:
    head = "\n\nclass Masked(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    assert asked(tmp_path, more=f"{head}        self.attn = MemEff()\n\n    {method}\n")


def test_a_keyword_of_what_is_called_goes_to_every_parameter_of_its_name(tmp_path: Path) -> None:
    """A string of that name elsewhere takes nothing out of anybody's `**kwargs`."""
    more = "\n\ndef g(call, names):\n    print(names['part'], 'other')\n    return call(part=MemEff())\n"
    assert asked(tmp_path, more=more)


def test_a_class_of_another_library_may_call_it(tmp_path: Path) -> None:
    assert not asked(tmp_path, attention=ATTENTION.replace("nn.Module", "library.Attention"))


def test_a_harmless_decorator_changes_nothing(tmp_path: Path) -> None:
    more = "\n\n@torch.no_grad()\ndef made():\n    return MemEff()\n\n\ndef f(x{0}):\n    return made()(x{0})\n"
    assert asked(tmp_path, more=more.format("") + "\n\nimport torch\n")
    assert not asked(tmp_path, more=more.format(", m") + "\n\nimport torch\n")


@pytest.mark.parametrize("name", ["MemEff", "other"])
def test_a_star_beside_a_word_that_is_only_said(name: str, tmp_path: Path) -> None:
    """A file that star-imports the class may use it; one that only speaks of it does not."""
    use = f"from attention import *\n\n# MemEff\n\n\ndef f(x, m):\n    return {name}()(x, m)\n"
    (tmp_path / "attention.py").write_text(ATTENTION, "utf-8")
    (tmp_path / "use.py").write_text(use, "utf-8")
    (tmp_path / "model.py").write_text("from attention import MemEff\n\nMemEff()(1)\n", "utf-8")
    paths = [str(tmp_path / name) for name in ("attention.py", "use.py", "model.py")]
    index = Index(Project(paths))
    assert bool(never_passed(index, Callers(index), paths[:1])) is (name == "other")


def test_more_files_than_are_parsed_make_it_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(tmp_path)
    monkeypatch.setattr("xf2sdpa.project.index.MOST_FILES", 1)
    assert not asked(tmp_path)


@pytest.mark.parametrize(("size", "known"), [(1_000_000, False), (10, True)])
def test_settings_are_read_up_to_a_size(
    size: int, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf.yaml").write_text("kind: MemEff\n", "utf-8")
    monkeypatch.setattr("xf2sdpa.project.index._LARGEST", size)
    assert asked(tmp_path) is known


def test_settings_that_cannot_be_read_say_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf.yaml").write_text("kind: MemEff\n", "utf-8")

    def refused(path: str) -> bytes:
        raise PermissionError(path)

    monkeypatch.setattr("xf2sdpa.project.index.read_regular", refused)
    assert asked(tmp_path)


def test_a_project_without_a_folder_has_no_settings() -> None:
    texts = {
        "/nowhere/at/all/attention.py": ATTENTION,
        "/nowhere/at/all/model.py": MODEL.format(init="pass", body="pass"),
    }
    index = Index(Project((), texts))
    assert never_passed(index, Callers(index), list(texts)[:1])


def test_of_a_file_that_does_not_parse_nothing_is_known() -> None:
    index = Index(Project((), {"attention.py": ATTENTION + "print(\n"}))
    assert never_passed(index, Callers(index), ["attention.py"]) == {}


def test_a_broken_file_with_a_loaded_model_cannot_run(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("net = torch.load('net.pt'\nnet(1)\n", "utf-8")
    for name, text in (("attention.py", ATTENTION), ("model.py", MODEL.format(init="pass", body="pass"))):
        (tmp_path / name).write_text(text, "utf-8")
    paths = [str(tmp_path / name) for name in ("attention.py", "model.py", "broken.py")]
    index = Index(Project(paths))
    assert never_passed(index, Callers(index), paths[:1])


def test_a_file_that_does_not_parse_may_go_through_the_parts_of_modules(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("for part in net.modules(:\n", "utf-8")
    for name, text in {"attention.py": ATTENTION, "model.py": MODEL.format(init="pass", body="pass")}.items():
        (tmp_path / name).write_text(text, "utf-8")
    paths = [str(tmp_path / name) for name in ("attention.py", "model.py", "broken.py")]
    index = Index(Project(paths))
    assert never_passed(index, Callers(index), paths[:1]) == {}
