"""The pages about what can become of a call: `xf2sdpa explain exact`, and so on."""

from __future__ import annotations

import textwrap

from xf2sdpa.folding import WIDEST
from xf2sdpa.model import SiteClass

_PAGES = {
    SiteClass.EXACT: (
        "the new call is the same for every input that xformers would accept",
        "Rank, mask and dtypes are proved by the code around the call: nothing is left to look at.",
        "Merge it. `xf2sdpa verify PATHS` runs old and new side by side and compares results and gradients.",
    ),
    SiteClass.ASSUMED: (
        "the new call is right if the named assumptions hold",
        "The report tells each assumption below the call. Where a broken one would go unseen, the new code checks it "
        "and raises an error that says what was assumed.",
        "Read the assumption; you know whether it holds. `--only exact` leaves such calls, `# xf2sdpa: ignore` one of "
        "them; `xf2sdpa verify PATHS` tries the inputs that the code admits.",
    ),
    SiteClass.COMPAT: (
        "the call goes to a helper module that decides when it runs",
        "scaled_dot_product_attention has no argument for the mask, or the code does not show what the call needs: a "
        "rank, who takes a gradient. The helper module needs torch alone, and is made in your project, where "
        "you own it; `--helper import` takes it from the installed xf2sdpa instead.",
        "`xf2sdpa rewrite --check --verbose PATH` says what would make the call inline, such as a rank that the code "
        "states; run again afterwards, and the call leaves the helper.",
    ),
    SiteClass.REMOVED: (
        "a probe: nothing was computed, so it went",
        "Code that calls the operator on made-up tensors to see whether it works has nothing to see any more.",
        "Nothing to do.",
    ),
    SiteClass.LEFT: (
        "the call is untouched, and still needs xformers",
        "The report says why, and what would help. Nothing around such a call is changed either: its imports stay.",
        "`xf2sdpa explain CODE` has the page of the reason; `--strict` makes a run fail while one is left.",
    ),
}
"""A class, with what it means, why a call gets it, and what to do."""


def class_page(word: str, width: int = WIDEST) -> str | None:
    """The page of a class by its name, all of them for `classes`; None for another word.

    Args:
        word: in lower case.
        width: columns to fill.
    """
    if word == "classes":
        return "".join(f"{_filled(f'{kind.value:<8} {page[0]}', width, 9)}\n" for kind, page in _PAGES.items())
    found = next((kind for kind in _PAGES if kind.value == word), None)
    if found is None:
        return None
    title, why, what = _PAGES[found]
    return "\n\n".join(_filled(text, width) for text in (f"{word}: {title}", why, f"What to do: {what}")) + "\n"


def _filled(text: str, width: int, hanging: int = 0) -> str:
    return textwrap.fill(text, width, subsequent_indent=" " * hanging)


def class_names() -> list[str]:
    """The words that have a page here."""
    return ["classes", *(kind.value for kind in _PAGES)]
