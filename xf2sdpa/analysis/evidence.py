"""Evidence for ranks that no assignment shows: `b, n, _ = q.shape` fails unless q has three dimensions.

A piece of evidence counts for a call site only if it is executed whenever the site is: its block encloses the
site's, and it stands before the site or on every path that continues after it. Evidence that conflicts proves nothing.
Evidence in a method that a subclass may override counts under the assumption that no subclass does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from xf2sdpa.analysis.values import Rank

Path = tuple[tuple[int, int], ...]
"""The blocks and arms around a place, outermost first."""
Proof = tuple[Rank, frozenset[str]]
"""A rank, and the assumptions, beyond what the code shows, under which it is right."""


@dataclass(frozen=True)
class Evidence:
    """One statement that an unknown has this rank.

    Attributes:
        rank: the number of dimensions.
        path: the blocks and arms around the place that states it.
        after: the call sites executed before that place, by `id` of the call.
        given: the assumptions under which that place is executed.
        order: the book's clock at that place.
    """

    rank: int
    path: Path
    after: frozenset[int]
    given: frozenset[str]
    order: int = field(compare=False)


class EvidenceBook:
    """All evidence of one walk, by the token of the unknown value it is about."""

    def __init__(self) -> None:
        self.entries: dict[int, set[Evidence]] = {}
        self.links: dict[int, set[tuple[Rank, Path]]] = {}
        """For an unknown made where branches meet: its ranks on the branches, and these."""
        self.clock = 0
        self.asked: set[int] = set()
        """The unknown values whose number of dimensions the code asks for: it may have several."""

    def elsewhere(self, rank: Rank) -> int | None:
        """The only rank that code on any path states of a value; None if some code asks for it."""
        numbers = {entry.rank for entry in self.entries.get(rank.token or 0, ())}
        if rank.token is None or rank.token in self.asked or len(numbers) != 1:
            return None
        return numbers.pop() + rank.offset

    def add(
        self, rank: Rank, number: int, path: Path, after: frozenset[int], given: frozenset[str] = frozenset()
    ) -> None:
        """Record that a value of this rank has `number` dimensions, stated in code that runs if `given` holds."""
        if rank.token is not None:
            self.clock += 1
            entry = Evidence(number - rank.offset, path, after, given, self.clock)
            known = self.entries.setdefault(rank.token, set())
            if entry not in known:
                known.add(entry)
                for part, way in self.links.get(rank.token, ()):
                    if way[: len(path)] == path:  # who has taken that branch comes by here
                        self.add(part, entry.rank, way, after, given)

    def link(self, token: int, part: Rank, way: Path) -> None:
        """Record that an unknown has this rank if a branch is taken, and that the branch always leads to it."""
        if part.token not in (None, token):
            self.links.setdefault(token, set()).add((part, way))

    def meet(self, path: Path, arms: Sequence[Path]) -> None:
        """Where arms meet that all state the same rank of a value, whichever is taken: it counts at `path` as well."""
        for token, found in list(self.entries.items()):
            stated = [[entry for entry in found if entry.path == arm] for arm in arms]
            numbers = {entry.rank for entries in stated for entry in entries}
            if len(numbers) == 1 and all(stated):
                chosen = [min(entries, key=lambda entry: (len(entry.given), entry.order)) for entries in stated]
                after = frozenset.intersection(*(entry.after for entry in chosen))
                given = frozenset().union(*(entry.given for entry in chosen))
                self.add(Rank(0, token), numbers.pop(), path, after, given)

    def here(self, rank: Rank, path: Path) -> Proof:
        """The rank, as a number if the evidence met before `path` gives one, and the assumptions it needs."""
        return self._settle(rank, [e for e in self.entries.get(rank.token or 0, ()) if e.path == path[: len(e.path)]])

    def at_site(self, rank: Rank, site: int, path: Path, order: int) -> Proof:
        """The same for a call site; evidence that follows the site counts as well."""
        found = [
            entry
            for entry in self.entries.get(rank.token or 0, ())
            if entry.path == path[: len(entry.path)] and (entry.order <= order or site in entry.after)
        ]
        return self._settle(rank, found)

    @staticmethod
    def _settle(rank: Rank, found: list[Evidence]) -> Proof:
        numbers = {entry.rank for entry in found}
        if rank.token is None or len(numbers) != 1:
            return rank, frozenset()
        least = min((entry.given for entry in found), key=lambda given: (len(given), sorted(given)))
        return Rank(numbers.pop() + rank.offset), least

    def conflicts(self, rank: Rank) -> bool:
        """Whether there is evidence for different ranks of this value."""
        return len({entry.rank for entry in self.entries.get(rank.token or 0, ())}) > 1
