"""What the other files of a project change of what one file shows, put together for the walk over that file."""

from __future__ import annotations

from functools import cached_property

from xf2sdpa.analysis.others import Others
from xf2sdpa.project.files import Project
from xf2sdpa.project.in_place import InPlace
from xf2sdpa.project.overrides import Overrides
from xf2sdpa.project.own_operations import OwnOperations
from xf2sdpa.project.set_elsewhere import SetElsewhere


class OtherFiles:
    """Asks each kind of change once, when the first file needs it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known: dict[str, Others] = {}

    def of(self, file: str) -> Others:
        """What the others change of one file."""
        if file not in self._known:
            self._known[file] = Others(
                self._overrides.of(file),
                *self._overrides.above(file),
                self._set.of(file),
                self._in_place.of_ranks,
                self._operations.of(file),
                self._operations.attributes_of(file),
            )
        return self._known[file]

    @cached_property
    def _overrides(self) -> Overrides:
        return Overrides(self._project)

    @cached_property
    def _set(self) -> SetElsewhere:
        return SetElsewhere(self._project.texts)

    @cached_property
    def _in_place(self) -> InPlace:
        return InPlace(self._project)

    @cached_property
    def _operations(self) -> OwnOperations:
        return OwnOperations(self._project)
