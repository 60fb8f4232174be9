"""The classes of some files, by their texts."""

from __future__ import annotations

import pytest

from xf2sdpa.analysis.others import ANY
from xf2sdpa.project.classes import Classes

TEXTS = {
    "a.py": """\
class Base:
    size = 1
    names: list[str] = []

    def split(self, x):
        self.last = x
        self.first, other = x, x
        if self.last == x:
            x.other = 2
        return x


def outside():
    pass
""",
    "b.py": """\
import a


class Mid(
    a.Base,  # of another file: the first
    Generic[T],
):
    async def wait(self): ...

class Inner: pass
""",
    "c.py": "if True:\n    class Last(Mid):\n        def last(self):\n            return 1\n    def no(self): ...\n",
}


def test_bases_are_words_and_comments_are_none() -> None:
    (mid,) = Classes(TEXTS).named["Mid"]
    assert mid.bases == {"a", "Base", "Generic", "T"}
    assert [klass.name for klass in Classes(TEXTS).by_file["b.py"]] == ["Mid", "Inner"]


def test_members_are_what_a_class_defines_and_sets() -> None:
    classes = Classes(TEXTS)
    (base,), (mid,), (last,) = (classes.named[name] for name in ("Base", "Mid", "Last"))
    assert {"size", "names", "split", "last", "first"} <= classes.members(base)
    assert not {"outside", "other"} & classes.members(base)
    assert classes.members(mid) == {"wait"}
    assert classes.members(last) == {"last"}


def test_below_are_those_of_all_files() -> None:
    assert [klass.name for klass in Classes(TEXTS).below("Base")] == ["Mid", "Last"]
    assert list(Classes(TEXTS).below("Last")) == []


def test_brackets_and_comments_among_bases() -> None:
    (klass,) = Classes({"a.py": "class A(make(B)[C], D,  # ) of E\n    F): x = 1\nclass"}).by_file["a.py"]
    assert klass.bases == {"make", "B", "C", "D", "F"}
    (open_one,) = Classes({"a.py": "class A(B"}).by_file["a.py"]
    assert open_one.bases == frozenset()


def test_a_class_that_derives_from_itself_ends() -> None:
    loop = Classes({"a.py": "class A(B): ...\n\n\nclass B(A): ...\n"})
    assert [klass.name for klass in loop.below("A")] == ["B", "A"]


def test_a_base_counts_under_all_its_names() -> None:
    text = "from a import Base as B, Other\n\nC = Other.Inner\n\n\nclass One(B, C):\n    pass\n"
    (one,) = Classes({"a.py": text}).by_file["a.py"]
    assert {"Base", "Other", "Inner"} <= one.bases
    made = "def made(base, more=1):\n    class Sub(base):\n        pass\n    return Sub\n"
    assert [klass.name for klass in Classes({"a.py": made}).derived[ANY]] == ["Sub"]


def test_a_class_that_a_call_makes() -> None:
    classes = Classes({"a.py": "Sub = type('Sub', (Base, a.Other), {'split': f, 'size': 1})\ntype(x)\n"})
    (sub,) = classes.derived["Base"]
    assert (sub.name, classes.members(sub)) == ("Sub", {"split", "size"})
    (named,) = Classes({"a.py": "type(name, (Base,), dict(split=f))"}).derived["Base"]
    assert Classes({"a.py": ""}).methods(named) == {"split"}
    (given,) = Classes({"a.py": "type(name, (Base,), body)"}).derived["Base"]
    assert Classes({"a.py": ""}).members(given) == {ANY}


SETTING = {
    "self.norm = 1": {"norm"},
    "cls.norm = 1": {"norm"},
    "self.norm: int = 1": {"norm"},
    "(self.other, self.norm) = 1, 2": {"other", "norm"},
    "for self.norm in x: pass": {"norm"},
    "with x as self.norm: pass": {"norm"},
    "self.norm[0] = 1": {"norm"},
    "self.norm.append(x)": {"norm"},
    "self.norm.forward = x": {"norm"},
    "setattr(self, 'norm', 1)": {"norm"},
    "self.add_module('norm', x)": {"norm"},
    "self._modules['norm'] = x": {"norm"},
    "setattr(self, name, 1)": {ANY},
    "self.__dict__.update(x)": {ANY},
    "self._modules[name] = x": {ANY},
    "self.norm.weight": frozenset(),
    "setattr(self, f'norm{i}', x)": frozenset(),
    "return self.norm(x)": frozenset(),
    "y = self._modules[name]": frozenset(),
}


@pytest.mark.parametrize("line", SETTING)
def test_what_a_class_sets(line: str) -> None:
    classes = Classes({"a.py": f"class A:\n    def f(self, x):\n        {line}\n"})
    assert classes.attributes(classes.named["A"][0]) == SETTING[line]


@pytest.mark.parametrize(
    ("before", "is_given"),
    [
        ("def made(base):\n", True),
        ("def other(x):\n    pass\n\n\ndef made(base):\n", True),
        ("def made(base):\n    def inner(x):\n        return x\n\n", True),
        ("def other(base):\n    pass\n\n\ndef made(x):\n", False),
        ("if base:\n", False),
        ("    def cut(base\n", False),
    ],
)
def test_a_parameter_of_the_function_around_is_any_base(before: str, is_given: bool) -> None:
    (klass,) = Classes({"a.py": f"{before}    class Made(base):\n        pass\n"}).by_file["a.py"]
    assert (ANY in klass.bases) == is_given


def test_functions_far_above_are_not_looked_at() -> None:
    text = "def made(base):\n" + "    def inner():\n        pass\n\n" * 100 + "    class Made(base):\n        pass\n"
    (klass,) = Classes({"a.py": text}).by_file["a.py"]
    assert ANY not in klass.bases
