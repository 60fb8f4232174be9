"""What the tests of the formats share: a file before and after, and what of it stays."""

from __future__ import annotations

from pathlib import PurePath

from xf2sdpa.uninstall.requirement_edits.edit import Outcome, with_torch, without_xformers


def gone(file: str, text: str) -> str:
    """A file without xformers; the second look has nothing to do."""
    outcome = without_xformers(PurePath(file), text)
    assert not outcome.left, outcome.left
    assert outcome.done
    again = without_xformers(PurePath(file), outcome.text)
    assert (again.text, again.done, again.left) == (outcome.text, [], [])
    return outcome.text


def untouched(file: str, text: str) -> Outcome:
    """What is told of a file that stays as it is."""
    outcome = without_xformers(PurePath(file), text)
    assert outcome.text == text
    assert not outcome.done
    return outcome


def raised(file: str, text: str, floor: tuple[int, int] = (2, 2)) -> str:
    """A file with a torch that is new enough; the second look has nothing to do."""
    outcome = with_torch(PurePath(file), text, floor)
    assert not outcome.left, outcome.left
    again = with_torch(PurePath(file), outcome.text, floor)
    assert (again.text, again.done) == (outcome.text, [])
    return outcome.text


def not_raised(file: str, text: str, floor: tuple[int, int] = (2, 2)) -> list[str]:
    """Why a torch that is too old stays."""
    outcome = with_torch(PurePath(file), text, floor)
    assert outcome.text == text
    assert not outcome.done
    return [change.why for change in outcome.left]
