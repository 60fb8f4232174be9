"""Methods and attributes of a file's classes that classes of other files have anew: the file does not show theirs."""

from __future__ import annotations

from xf2sdpa.project.files import Project

_Member = tuple[str, str]
"""The name of a class, and that of a method or attribute."""
_PLAIN = frozenset({"object", "Module", "ABC", "Generic", "Protocol", "nn", "torch", "typing", "abc", "metaclass"})
"""Words among bases that have no members of this kind."""


class Overrides:
    """Which methods and attributes of a file's classes the classes of other files have anew."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._reached: dict[str, set[str]] = {}

    def of(self, file: str) -> frozenset[_Member]:
        """Those of one file, with their classes.

        A class derives from those that its bases name, if its file runs with theirs, directly or by others between.
        What stands beside such a base has its members, too: `class Flat(Folding, Attend)`.
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
                    beside |= klass.bases - {base, *_PLAIN}
        others = (klass for other in beside - {*known} for klass in classes.named.get(other, ()))
        return members.union(*map(classes.members, others))

    def _runs_with(self, path: str, file: str) -> bool:
        if path not in self._reached:
            self._reached[path] = self._project.graph.reached_from(path)
        return file in self._reached[path]
