"""The classes of some files, by their texts."""

from __future__ import annotations

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
