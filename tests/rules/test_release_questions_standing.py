"""Questions about a release that stay, each with all of its file's, and imports that served them."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, by_name, holds
from tests.rules.test_release_questions import HEAD, OTHERS, SHOWN, V, asked

ONE = "import xformers.ops as xops\n\n"
OLD = f"if {V} == '0.0.16':\n        print('old')"
PARSED = OLD.replace(V, f"version.parse({V})").replace("'0.0.16'", "version.parse('0.0.16')")
FLAG = f"FLAG = {V} < '0.0.20'"
SET = f"if is_xformers_available():\n    import xformers\n    R = {V}\n"


def standing(*lines: str, head: str = HEAD) -> Case:
    """A program whose lines stay as they are."""
    return Case(asked(*lines, head=head), ("compat XF161",), has=("".join(f"{line}\n" for line in lines),), helper=True)


STANDING = {
    "where the program hides the package": standing("import sys", "sys.modules['xformers'] = None", FLAG),
    "where a comment keeps what tells the release": standing(FLAG, f"print({V})  # xf2sdpa: ignore"),
    "where a comment keeps what shows it": standing(FLAG, SHOWN.replace("):", "):  # xf2sdpa: ignore", 1)),
    "a release that __all__ names": standing(f"RELEASE = {V}", "__all__ = ['RELEASE']"),
    "shown, and set behind it": standing(f"{SET}x = f(R)", "R = 'N/A'", head=ONE),
    "shown, or more done": standing(SHOWN.replace("'N/A'", "'N/A'\n    f()"), head=ONE),
    "shown, or set with a type": standing(SHOWN.replace("R = 'N/A'", "R: str = 'N/A'"), head=ONE),
    "shown, or what a loop leaves": standing(f"for R in q:\n    pass\n{SET}x = f(R)", head=ONE),
    "a release beside something else": standing(
        "FLAG = version('xformers') and xops", head=f"from importlib.metadata import version\n{HEAD}"
    ),
}
ANSWERED = {
    "the other of two arms": (f"if {V} < '0.0.20':\n    f(1)\nelse:\n    f(2)", "\nf(2)\n"),
    "what a check of a variable tells": (f"A = {V}\nif A < '0.0.20':\n    print(A)", "attention\n\n\ndef attend"),
    "beside a name of the helper": (
        f"FLAG = xops.SwiGLU is not None, {V} < '0.0.20'",
        "FLAG = SwiGLU is not None, False\n",
    ),
}
IN_A_BRANCH = {
    "by its whole path": (f"import xformers.ops\n    {OLD}", (), ""),
    "by its whole path, handed on": (f"import xformers.ops\n    {OLD}", ("xformers",), "    import xformers.ops\n"),
    "with what compares releases": (
        "import xformers\n    from packaging import version\n    " + PARSED,
        (),
        "",
    ),
    "that nothing reads": ("import xformers", (), "    import xformers\n"),
}


@by_name(STANDING)
def test_it_stays(case: Case) -> None:
    holds(case, never=("XF143",))


@pytest.mark.parametrize(("lines", "new"), ANSWERED.values(), ids=list(ANSWERED))
def test_it_is_answered(lines: str, new: str) -> None:
    holds(Case(asked(lines), ("finding XF143",), has=(new,), helper=True))


@pytest.mark.parametrize(("lines", "handed_on", "new"), IN_A_BRANCH.values(), ids=list(IN_A_BRANCH))
def test_an_import_in_a_branch_for_another_library(lines: str, handed_on: tuple[str, ...], new: str) -> None:
    case = Case(asked(OTHERS.format(lines), head=ONE), helper=True, handed_on=frozenset(handed_on))
    assert f"if is_xformers_available():\n{new}    net.enable" in holds(case).new
