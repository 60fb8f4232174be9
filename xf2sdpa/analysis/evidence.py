"""Evidence for ranks that no assignment shows: `b, n, _ = q.shape` fails unless q has three dimensions.

A piece of evidence counts for a call site only if it is executed whenever the site is: its block encloses the
site's, and it stands before the site or on the way on from it. Evidence that conflicts proves nothing. Evidence in a
method that a subclass may override counts under the assumption that none does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xf2sdpa.analysis.values import Rank

Path = tuple[tuple[int, int], ...]
"""The blocks and arms around a place, outermost first."""
Proof = tuple[Rank, frozenset[str]]
"""A rank, and what must hold, beyond what the code shows, for it to be this."""


@dataclass(frozen=True)
class Evidence:
    """That `token` has this rank, seen at a place after these sites had run."""

    rank: int
    path: Path
    after: frozenset[int]
    given: frozenset[str]
    order: int = field(compare=False)


class EvidenceBook:
    """All evidence of one walk, by the unknown it speaks of."""

    def __init__(self) -> None:
        self.entries: dict[int, set[Evidence]] = {}
        self.links: dict[int, set[Rank]] = {}
        """Of an unknown made where branches meet: the ranks it had on each."""
        self.clock = 0

    def add(
        self, rank: Rank, number: int, path: Path, after: frozenset[int], given: frozenset[str] = frozenset()
    ) -> None:
        """Note that a value of this rank was seen to have `number` dimensions, in code that runs if `given` holds."""
        if rank.token is not None:
            self.clock += 1
            entry = Evidence(number - rank.offset, path, after, given, self.clock)
            known = self.entries.setdefault(rank.token, set())
            if entry not in known:
                known.add(entry)
                for part in self.links.get(rank.token, ()):
                    self.add(part, entry.rank, path, after, given)

    def link(self, token: int, parts: set[Rank]) -> None:
        """Say that an unknown is one of these, depending on the branch taken."""
        self.links.setdefault(token, set()).update(part for part in parts if part.token not in (None, token))

    def here(self, rank: Rank, path: Path) -> Proof:
        """The rank, as a number if evidence passed on the way to `path` gives one, and what that rests on."""
        return self._settle(rank, [e for e in self.entries.get(rank.token or 0, ()) if e.path == path[: len(e.path)]])

    def at_site(self, rank: Rank, site: int, path: Path, order: int) -> Proof:
        """The same for a call site, with the evidence that follows it as well."""
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
        """Whether the evidence for this value disagrees with itself."""
        return len({entry.rank for entry in self.entries.get(rank.token or 0, ())}) > 1
