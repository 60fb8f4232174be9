"""What other files of the project change of what one file shows: by names, as only a run would show the objects."""

from __future__ import annotations

from dataclasses import dataclass

ANY = "*"
"""Among names: there may be any others."""


@dataclass(frozen=True)
class Others:
    """What the walk over one file is told of the others; nothing, where the file is all there is."""

    overridden: frozenset[tuple[str, str]] = frozenset()
    """Classes of this file, each with a method or attribute that a class which derives from it elsewhere has anew.

    With `ANY` where that may be any.
    """
    inherited: frozenset[tuple[str, str]] = frozenset()
    """Classes of this file, each with a method that a base of it in another file has."""
    set_above: frozenset[tuple[str, str]] = frozenset()
    """Classes of this file, each with an attribute that such a base sets; `ANY` where it may be any."""
    parts: frozenset[str] = frozenset()
    """Attributes, methods and functions that something else is put in the place of: `block.norm = nn.Identity()`."""
    of_ranks: frozenset[str] = frozenset()
    """Functions that change the rank of a tensor which they are given, in place; `ANY` if they may get here unnamed."""
    operations: frozenset[str] = frozenset()
    """Operations of tensors that classes have for themselves: `x.view(…)` may be one of theirs."""
    attributes: frozenset[str] = frozenset()
    """Attributes that objects of classes have, and whose values methods of these change."""

    def has_anew(self, owner: str, member: str) -> bool:
        """Whether a class elsewhere that derives from one of this file may have a method or attribute anew."""
        return not self.overridden.isdisjoint({(owner, member), (owner, ANY)})

    def sets_above(self, owner: str, attribute: str) -> bool:
        """Whether an attribute of a class of this file may be set by a base of it elsewhere, or by other means."""
        return not self.set_above.isdisjoint({(owner, attribute), (owner, ANY)})
