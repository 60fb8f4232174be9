"""What carrying out edits reports: the new text of each call, or that the parsers disagree."""

from __future__ import annotations

from dataclasses import dataclass, field


class PairingError(Exception):
    """The two parsers do not see the same program; nothing may be edited."""


@dataclass
class Transcript:
    """What the edits did: the new text of each edited call, by `id` of its `ast` node."""

    after: dict[int, str] = field(default_factory=dict)
