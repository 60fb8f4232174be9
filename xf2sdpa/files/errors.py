"""Errors about paths and patterns that a person gave."""

from __future__ import annotations


class DiscoverError(Exception):
    """A path or pattern that cannot be used: `path` is the one at fault, `message` says why."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.path = path
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"
