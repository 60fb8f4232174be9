"""Evidence for ranks that no assignment shows: `b, n, _ = q.shape` fails unless q has three dimensions.

A piece of evidence counts for a call site only if it is executed whenever the site is: its block encloses the
site's, and it stands before the site or on every path that continues after it. Evidence that conflicts proves nothing.
Evidence in a method that a subclass may override counts under the assumption that no subclass does.
"""

from __future__ import annotations

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
        self.links: dict[int, set[Rank]] = {}
        """For an unknown made where branches meet: its ranks on the branches."""
        self.clock = 0

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
                for part in self.links.get(rank.token, ()):
                    self.add(part, entry.rank, path, after, given)

    def link(self, token: int, parts: set[Rank]) -> None:
        """Record that an unknown has one of these ranks, depending on the branch taken."""
        self.links.setdefault(token, set()).update(part for part in parts if part.token not in (None, token))

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
