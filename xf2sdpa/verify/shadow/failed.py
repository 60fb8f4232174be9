"""A placeholder for a value of the new side that could not be computed."""

from __future__ import annotations


class Failed:
    """A value of the new side that could not be computed, and the error."""

    def __init__(self, error: Exception) -> None:
        self.error = error
