"""The results of applying edits: the new text of each call, or the error that the parsers disagree."""

from __future__ import annotations

from dataclasses import dataclass, field


class PairingError(Exception):
    """`ast` and LibCST do not see the same program; nothing may be edited."""


@dataclass
class Transcript:
    """The new text of each edited call, by `id` of its `ast` node."""

    after: dict[int, str] = field(default_factory=dict)
