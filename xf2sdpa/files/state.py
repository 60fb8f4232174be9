"""Where the tool keeps what is nobody's but the user's own on this machine."""
# Asked by every run before anything else is imported, so no pathlib:
# ruff: noqa: PTH111, PTH117, PTH118, PTH208

from __future__ import annotations

import os
import sys


def undo_folder() -> str:
    """The folder of the journals of runs; empty where the user has no such place."""
    place = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME", "")
    if not os.path.isabs(place) and sys.platform != "win32":  # the specification says to ignore such a one
        place = os.path.expanduser("~/.local/state")
    return os.path.join(place, "xf2sdpa", "undo") if os.path.isabs(place) else ""


def writing_folder() -> str:
    """Where the journal of a run lies while it writes."""
    return os.path.join(undo_folder(), "begun")


def may_be_broken_off() -> bool:
    """Whether some run of this user has not said that it was done."""
    try:
        return bool(undo_folder()) and any(name.endswith(".journal") for name in os.listdir(writing_folder()))
    except OSError:
        return False
