"""What stands for a value of the new side that could not be computed."""

from __future__ import annotations


class Failed:
    """What stands for a value of the new side that could not be computed."""

    def __init__(self, error: Exception) -> None:
        self.error = error
