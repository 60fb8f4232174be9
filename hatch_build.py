"""Names the project's addresses in the package's metadata: those of the repository that it is built from.

The repository may lie anywhere, so whoever publishes a build says where: `XF2SDPA_URL=https://… python -m build`. It is
the variable that docs/hook.md explains. Without it the metadata names no address.
"""

from __future__ import annotations

import os
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PLACES = {
    "Homepage": "",
    "Documentation": "/tree/main/docs",
    "Changelog": "/blob/main/CHANGELOG.md",
    "Issues": "/issues",
    "Source": "",
}


class Addresses(MetadataHookInterface):
    """Fills `[project.urls]`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the addresses, if the variable is set."""
        home = os.environ.get("XF2SDPA_URL", "").strip().rstrip("/").removesuffix(".git")
        metadata["urls"] = {name: home + place for name, place in PLACES.items()} if home else {}
