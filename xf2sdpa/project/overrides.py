"""Methods and attributes of a file's classes that classes of other files have anew: the file does not show theirs."""

from __future__ import annotations

from collections.abc import Iterator

from xf2sdpa.analysis.others import ANY
from xf2sdpa.project.classes import PLAIN, Class
from xf2sdpa.project.files import Project

_Member = tuple[str, str]
"""The name of a class, and that of a method or attribute."""
_SETTING = frozenset({"__setattr__", "__getattribute__", "__init_subclass__"})
"""Methods of a base by which attributes, and methods, may become something else than a class shows."""


class Overrides:
    """Which methods and attributes of a file's classes the classes of other files have anew."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._reached: dict[str, set[str]] = {}

    def of(self, file: str) -> frozenset[_Member]:
        """Those of one file, with their classes.

        A class derives from those that its bases name, if its file runs with theirs, directly or by others between; one
        with a base that a function is given, from any. What stands beside such a base has its members, too:
        `class Flat(Folding, Attend)`.
        """
        classes = {klass.name for klass in self._project.classes.by_file.get(file, ())}
        return frozenset((name, member) for name in classes for member in self._elsewhere(file, name))

    def _elsewhere(self, file: str, name: str) -> set[str]:
        """What classes of other files have that derive from a class of a file."""
        classes = self._project.classes
        known, members, beside = [name], set[str](), set[str]()
        for base in known:  # grows
            for klass in classes.derived.get(base, ()):
                if klass.file != file and not self._runs_with(klass.file, file):
                    continue
                known += [klass.name] if klass.name not in known else []
                if klass.file != file:
                    members |= classes.members(klass)
                    beside |= klass.bases - {base, *PLAIN}
        for klass in classes.derived.get(ANY, ()):
            members |= classes.members(klass) if klass.file != file else set()
        others = (klass for other in beside - {*known} for klass in classes.named.get(other, ()))
        return members.union(*map(classes.members, others))

    def above(self, file: str) -> tuple[frozenset[_Member], frozenset[_Member]]:
        """What the bases of a file's classes have that stand in other files: their methods, and what these set.

        By the class that names such a base itself. `ANY` is among what is set where classes are made, or attributes
        set, in a way of their own.
        """
        methods, attributes = set[_Member](), set[_Member]()
        for klass in self._project.classes.by_file.get(file, ()):
            bases = list(self._bases_elsewhere(file, klass))
            if any(_makes_classes(one) for one in (klass, *bases)) or ANY in self._project.classes.attributes(klass):
                attributes.add((klass.name, ANY))
            for base in bases:
                methods |= {(klass.name, name) for name in self._project.classes.methods(base)}
                attributes |= {(klass.name, name) for name in self._project.classes.attributes(base) - {ANY}}
        own = {name for name, method in methods if method in _SETTING}
        return frozenset(methods), frozenset(attributes | {(name, ANY) for name in own})

    def _bases_elsewhere(self, file: str, klass: Class) -> Iterator[Class]:
        classes, known = self._project.classes, [klass]
        for one in known:  # grows
            for base in (b for word in one.bases - PLAIN for b in classes.named.get(word, ())):
                if base.file != file and base not in known and self._runs_with(file, base.file):
                    known.append(base)
                    yield base

    def _runs_with(self, path: str, file: str) -> bool:
        if path not in self._reached:
            self._reached[path] = self._project.graph.reached_from(path)
        return file in self._reached[path]


def _makes_classes(klass: Class) -> bool:
    """Whether a class has a metaclass of its own."""
    return "metaclass" in klass.bases and not klass.bases & {"ABCMeta", "EnumMeta", "type"}
