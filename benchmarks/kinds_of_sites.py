"""What makes the inline sites of a corpus inline: by which way it is known, and with which mask.

Everything comes from what the tool says of a site as data: its class, the way of each assumption, the codes of its
notes, and the arguments of the call before and after. No sentence is read.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable

from xf2sdpa.model import Site, SiteClass, Way

GUARDED, CHECKED = "XF306", "XF307"
WAYS = {
    Way.FUNCTION: "the function alone",
    Way.CLASSES: "classes of the project",
    Way.CALLERS: "calls in the project",
    Way.INDEX: "the whole project",
    Way.LIBRARY: "a library's tables",
    Way.RUN: "a recorded run",
    Way.WISH: "the user's wish",
}
"""From near to far: a site that rests on several counts under the farthest of them."""
MASKS = ("none", "causal", "left out", "tensor")
COLUMNS = ("exact", "assumed", "guarded", "checked")
"""Guarded and checked sites are exact or assumed as well."""
Table = dict[str, dict[str, int]]


def way_of(site: Site) -> Way:
    """The farthest thing that a site rests on; the function where it rests on no assumption."""
    order = list(WAYS)
    return max((assumption.way for assumption in site.assumptions), key=order.index, default=Way.FUNCTION)


def mask_of(site: Site) -> str:
    """What became of a site's mask: none was given, it is causal, it was left out, it is a tensor."""
    after = keywords_of_sdpa(site.after)
    if "attn_mask" in after:
        return "tensor"
    if "is_causal" in after:
        return "causal"
    return "left out" if _gives_mask(site.before) else "none"


def keywords_of_sdpa(text: str) -> set[str]:
    """The keywords of the SDPA call in a text."""
    for node in ast.walk(ast.parse(f"({text})", mode="eval")):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("scaled_dot_product_attention"):
            return {keyword.arg or "**" for keyword in node.keywords}
    return set()


def _gives_mask(text: str) -> bool:
    call = ast.parse(f"({text})", mode="eval").body
    assert isinstance(call, ast.Call)
    given = [keyword.value for keyword in call.keywords if keyword.arg == "attn_bias"] + call.args[3:4]
    return any(not (isinstance(value, ast.Constant) and value.value is None) for value in given)


def table(sites: Iterable[tuple[str, Site]], rows: Iterable[str]) -> Table:
    """How many sites of each row are of each class, how many are guarded, and how many checked."""
    counts: Table = {row: dict.fromkeys(COLUMNS, 0) for row in rows}
    for row, site in sites:
        codes = {note.code for note in site.notes}
        counted = [
            site.kind.value,
            *(["guarded"] if GUARDED in codes else []),
            *(["checked"] if CHECKED in codes else []),
        ]
        for column in counted:
            counts[row][column] += 1
    return {row: found for row, found in counts.items() if any(found.values())}


def tables(sites: Iterable[Site]) -> dict[str, Table]:
    """Both tables of the inline sites among some, by the title of each."""
    inline = [site for site in sites if site.kind in (SiteClass.EXACT, SiteClass.ASSUMED)]
    return {
        "known by": table(((WAYS[way_of(site)], site) for site in inline), WAYS.values()),
        "mask": table(((mask_of(site), site) for site in inline), MASKS),
    }


def ways_together(sites: Iterable[Site]) -> dict[str, int]:
    """How many sites rest on each set of ways."""
    found = Counter(" + ".join(w.value for w in Way if w in {a.way for a in site.assumptions}) or "-" for site in sites)
    return dict(found.most_common())


def lines(found: dict[str, Table]) -> Iterable[str]:
    """The tables for people."""
    for title, rows in found.items():
        yield f"{title:24}" + "".join(f"{column:>9}" for column in ("sites", *COLUMNS))
        for row, counts in rows.items():
            total = counts["exact"] + counts["assumed"]
            yield f"    {row:20}{total:>9}" + "".join(f"{counts[column]:>9}" for column in COLUMNS)
