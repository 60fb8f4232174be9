"""`--ignore` and `--select` hold for what a run finds out, and does, after its rules have looked at a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks import BY_HELPER, INLINE, book, code, saved, sources
from tests.projects.harness import write
from tests.run.commands import COMPAT, EXACT, rewrite

KEEPING = "from xformers.ops.fmha.flash import FwOp\n\nOPERATOR = FwOp.OPERATOR\n"
FLAG = """\
from importlib.metadata import version

try:
    import xformers.ops as xops

    HAS_XFORMERS = True
except ImportError:
    HAS_XFORMERS = False
"""
USE = """\

def describe():
    return version("xformers") if HAS_XFORMERS else None
"""

pytestmark = pytest.mark.usefixtures("inside")


def lacking() -> None:
    """A helper module that a person has edited, and a name that it lacks."""
    write(Path(), {"main.py": COMPAT})
    rewrite(".")
    helper = Path("_attention_compat.py")
    helper.write_text(f"{helper.read_text('utf-8')}\n\nOURS = 1\n", "utf-8")
    write(Path(), {"more.py": "from xformers.ops import SwiGLU\n\nlayer = SwiGLU(4, 8)\n"})


def still_bound() -> None:
    """A file that is rewritten, and imports one that keeps xformers."""
    write(Path(), {"pkg/__init__.py": "", "pkg/probe.py": KEEPING})
    write(Path(), {"pkg/layers.py": f"from .probe import OPERATOR\n{EXACT}"})


def held() -> None:
    """A flag that keeps a use of the installed package off it."""
    write(Path(), {"pkg/__init__.py": "", "pkg/env.py": FLAG + USE})
    write(Path(), {"pkg/attention.py": f"from .env import HAS_XFORMERS\n{EXACT}"})


def outputs() -> None:
    """A notebook with outputs below a cell that changes."""
    saved(*INLINE)


def named() -> None:
    """A notebook whose shell line names xformers."""
    write(Path(), {"demo.ipynb": book(code("!python train.py --xformers"))})


def masks() -> None:
    """A mask that a call of another file, which is left, may be handed."""
    write(Path(), {"attention.py": COMPAT.replace("mask)\n", "mask)  # xf2sdpa: ignore\n")})
    call = "def run(q, k, v):\n    return attend(q, k, v, LowerTriangularMask())\n"
    write(
        Path(), {"block.py": f"from attention import attend\nfrom xformers.ops import LowerTriangularMask\n\n\n{call}"}
    )


MADE = {"XF413": masks, "XF412": lacking, "XF407": still_bound, "XF408": held, "XF308": outputs, "XF410": named}


@pytest.mark.parametrize("code", MADE)
def test_a_finding_of_the_run_is_told_unless_its_code_is_ignored(code: str) -> None:
    """`--select` chooses what is done; what is left is told all the same."""
    MADE[code]()
    plain = rewrite("--check", "-v", ".").output
    fewer = rewrite("--check", "-v", "--ignore", code, ".").output
    assert code in plain
    assert code not in fewer
    assert code in rewrite("--check", "-v", "--select", "XF1", ".").output
    verdict = "xformers can be uninstalled: no"
    assert (verdict in plain) == (verdict in fewer), "whether it can go is no matter of what is told"


def test_a_flag_goes_on_telling_the_truth_unsaid() -> None:
    held()
    rewrite("--ignore", "XF408", "--flags", "off", ".")
    assert Path("pkg/env.py").read_text("utf-8") == FLAG + USE


def test_no_helper_goes_into_a_notebook_where_that_is_not_selected() -> None:
    path = saved(*BY_HELPER)
    before = sources(path)
    rewrite("--ignore", "XF164", path)
    assert sources(path) == before
    rewrite("--select", "XF1", path)
    assert sources(path) != before


@pytest.mark.parametrize(("how", "goes"), [(("--ignore", "XF170"), False), (("--select", "XF10"), False), ((), True)])
def test_requirement_files_are_edited_only_where_that_is_selected(how: tuple[str, ...], goes: bool) -> None:
    write(Path(), {"model.py": EXACT, "requirements.txt": "torch>=2.0\nxformers==0.0.22\n"})
    report = rewrite("--output-format", "json", "--check", *how, ".").output
    rewrite(*how, ".")
    assert ("xformers" not in Path("requirements.txt").read_text("utf-8")) == goes
    assert ('"XF170"' in report) == goes


@pytest.mark.parametrize(("how", "goes"), [(("--ignore", "XF149"), False), (("--select", "XF10"), False), ((), True)])
def test_install_lines_of_notebooks_go_only_where_that_is_selected(how: tuple[str, ...], goes: bool) -> None:
    path = saved(*INLINE)
    assert (" XF149 changed " in rewrite("--check", "-v", *how, path).output) == goes
    rewrite(*how, path)
    assert (sources(path)[0] == "!pip install xformers") != goes
