"""Runs a script with the reference in the place of xformers, and no shadow: `python baseline.py script.py …`."""

import runpy
import sys
from pathlib import Path

from xf2sdpa.judging.old_path import find_old_path

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    with find_old_path().install():
        runpy.run_path(sys.argv[0], run_name="__main__")
