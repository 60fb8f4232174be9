"""The text of a request: what was done and why, what is left, and how to run it again, undo it and be left alone.

All that comes from the repository goes through `report/markup`. The text stands between two comments; what a person
writes outside of them stays.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xf2sdpa.bot.model import RequestOptions
from xf2sdpa.bot.remotes import Place
from xf2sdpa.report.markup import code, count, cut, fenced, fitting, link, text
from xf2sdpa.report.shown import plain_code

BEGIN = "<!-- xf2sdpa: begin; what stands outside of these two lines is kept -->"
END = "<!-- xf2sdpa: end -->"
_ELSEWHERE = "`xf2sdpa rewrite --diff .` on the base branch lists all."
LEAST = 4_000
"""Characters that a text must have room for, to say anything."""
_SHORT = 160
"""Characters of an expression in the table."""
_LISTED = 60
"""Files that are listed by name."""
_CLASSES = {
    "exact": "the same for every input that xformers would accept",
    "assumed": "the same if the assumption at the call holds",
    "compat": "the call goes to a torch-only helper module that looks at its inputs when it runs",
    "removed": "a check whether xformers works; torch's function needs none",
    "left": "not touched",
}
_BEARINGS = {"needs": "needs it", "unsure": "may need it", "choice": "offers it as a choice"}
"""What a place that names xformers means for whether it can go; places that only name it are counted by file."""
_FEW = 3
"""Files by which the verdict is explained."""
_PLACES = 6
"""Places that are named where the same is said of many."""
_NEEDS = ("keeps", "unsure", "error")
"""Kinds of findings for which xformers cannot go, for all that is known."""


@dataclass(frozen=True)
class Material:
    """What the text is made of.

    Attributes:
        report: the JSON report of the rewrite.
        place: the repository.
        commit: what the lines of the report are lines of.
        naming: files that still name xformers, with how many lines.
        options: what was asked for.
        own: what a person types to run the bot again, save for what follows `--`.
        words: options and paths of the rewrite.
    """

    report: dict[str, Any]
    place: Place
    commit: str
    naming: Sequence[tuple[str, int]]
    options: RequestOptions
    own: Sequence[str]
    words: Sequence[str] = (".",)


def render(material: Material, limit: int) -> str:
    """The text, between its two comments, with at most `limit` characters."""
    report = material.report
    first, last = f"{_why(report)}\n", _how(material)
    measured = _measured(material.options, limit // 3)
    parts = [first]
    room = limit - sum(map(len, (BEGIN, END, first, measured, last))) - 400
    for title, section, share in (
        ("Left for a person", _left(material), 0.35),
        ("Can xformers be uninstalled?", _closing(material), 0.3),
        ("Call sites", _sites(material), 0.7),
        ("Messages that went", _dropped(material), 0.3),
        ("H200 flags", _flags(report), 0.6),
        ("Files that still name xformers", _naming(material), 1.0),
    ):
        taken = fitting(section, int(room * share), elsewhere=_ELSEWHERE)
        if taken:
            parts += [f"\n### {title}\n\n", *taken]
            room -= sum(map(len, taken)) + len(title)
    parts += [measured, last]
    within = cut("".join(parts), limit - len(BEGIN) - len(END) - 4)
    return f"{BEGIN}\n{within}\n{END}"


def merged(old: str, new: str) -> str:
    """The text that a request is to have, given the one that it has: a person's words stay, ours are replaced.

    Where the comments around ours are gone, a person has made the text their own, and it stays.
    """
    begin, end = old.find(BEGIN), old.rfind(END)
    if begin < 0 or end < begin:
        return old
    return old[:begin] + new + old[end + len(END) :]


def kept(old: str) -> int:
    """How many characters of a request's text are a person's."""
    return len(merged(old, ""))


def linked(old: str) -> str:
    """The commit that links of a request's text lead to; empty if there is none."""
    found = re.search(r"/([0-9a-f]{40,64})/", old[max(old.find(BEGIN), 0) :])
    return found[1] if found else ""


def _why(report: dict[str, Any]) -> str:
    totals = report["totals"]
    counts = ", ".join(f"{totals[kind]} {kind}" for kind in _CLASSES if totals[kind])
    number = sum(totals[kind] for kind in _CLASSES)
    lines = [
        "xformers is a separate binary package, built for one torch at a time. What this code uses of it, "
        "`memory_efficient_attention`, torch has itself since 2.0 as `scaled_dot_product_attention`. This request "
        "rewrites the calls, and the imports and guards around them.",
        "",
        f"**{count(number, 'call site')}**: {counts}. {count(totals['files_changed'], 'file')} changed." if number
        else f"{count(totals['files_changed'], 'file')} changed.",
    ]  # fmt: skip
    torch = report["torch"]
    if torch["needs"]:
        pinned = (
            f" The project admits torch {text(torch['pinned'])} ({text(torch['pinned_at'])})."
            if torch["pinned"]
            else ""
        )
        lines += ["", f"Needs torch {torch['needs']} or newer.{pinned}"]
    return "\n".join(lines)


def _left(material: Material) -> Iterator[tuple[str, str]]:
    """What the tool could not do, or leaves to people to decide; what is said of many places is said once."""
    report = material.report
    for helper in report["helpers"]:
        if helper["new"]:
            yield (
                "helper",
                f"* {code(helper['path'])} is new and belongs to this project from now on: please read it.\n",
            )
        elif helper["missing"]:
            lacks = ", ".join(map(code, helper["missing"]))
            yield "helper", f"* {code(helper['path'])} was edited, so it stays; it lacks {lacks}.\n"
    for line in report["not_needed"] if not report.get("closing") else ():
        said = "nothing needs it any more; the line can go"
        yield "line", f"* {code(line['path'] + ':' + str(line['line']))} {code(line['text'])}: {said}.\n"
    yield from _listed(_points(material))


def _dropped(material: Material) -> Iterator[tuple[str, str]]:
    """Messages about xformers that went with the code around them: nobody has to do anything about them."""
    yield from _listed(
        ((0, _said(finding)), _place(material, file["path"], finding))
        for file in material.report["files"]
        for finding in file["findings"]
        if finding["kind"] == "dropped"
    )


def _listed(points: Iterable[tuple[tuple[int, str], str]]) -> Iterator[tuple[str, str]]:
    """Points with their places; what is said of many places is said once."""
    said_of: dict[tuple[int, str], list[str]] = {}
    for point, place in sorted(points, key=lambda pair: pair[0]):
        said_of.setdefault(point, []).append(place)
    for (_, said), places in said_of.items():
        if len(places) == 1:
            yield "point", f"* {places[0]} {said}\n"
            continue
        more = f" and {len(places) - _PLACES} more" if len(places) > _PLACES else ""
        yield "point", f"* {said} At {len(places)} places: {', '.join(places[:_PLACES])}{more}.\n"


def _points(material: Material) -> Iterator[tuple[tuple[int, str], str]]:
    """What is said of places, with how far down it belongs, and the place: calls first, then what keeps xformers."""
    for file in material.report["files"]:
        for site in file["sites"]:
            if site["class"] == "left":
                yield (0, f"{site['code']} **left**: {_said(site)}"), _place(material, file["path"], site)
        for finding in file["findings"]:
            place = _place(material, file["path"], finding)
            if finding["kind"] in _NEEDS:
                yield (2 - finding["error"], f"{finding['code']} {_said(finding)}"), place


def _closing(material: Material) -> Iterator[tuple[str, str]]:
    """The verdict over the whole tree, why, and what became of requirement files."""
    closing = material.report.get("closing")
    if not closing:
        return
    by_bearing = {bearing: [m for m in closing["mentions"] if m["bearing"] == bearing] for bearing in _BEARINGS}
    answer = {True: "yes", False: "no", None: "not for all that is known"}[closing["can_be_uninstalled"]]
    because = by_bearing["needs"] or by_bearing["unsure"]
    files = list(dict.fromkeys(mention["path"] for mention in because))
    verb = ("needs" if len(files) == 1 else "need") if by_bearing["needs"] else "may need"
    named = ", ".join(map(code, files[:_FEW])) + (f" and {len(files) - _FEW} more" if len(files) > _FEW else "")
    yield "verdict", f"After this: **{answer}**{f', because {named} {verb} it' if files else ''}.\n\n"
    for change in closing["requirements"]:
        place = code(f"{change['path']}:{change['line']}")
        became = f"is now {code(change['now'])}" if change["now"] else "went"
        said = f"stays: {text(change['why'])}" if change["why"] else became
        yield "line", f"* {place} {code(change['was'])} {said}.\n"
    for bearing, means in _BEARINGS.items():
        for mention in by_bearing[bearing]:
            if mention["code"]:  # a finding of the run, which stands above
                continue
            place = code(f"{mention['path']}:{mention['line']}")
            advice = f" {text(mention['advice'])}" if mention["advice"] else ""
            yield "place", f"* {place} {means}: {code(_shortened(mention['text']))}{advice}\n"


def _said(at: dict[str, Any]) -> str:
    advice = f" {text(at['advice'])}" if at["advice"] else ""
    message = text(at["message"])
    return f"{message}{'' if message.endswith('.') else '.'}{advice}"


def _place(material: Material, path: str, at: dict[str, Any]) -> str:
    """A place as a link; a cell of a notebook has no line of its own on a forge's page."""
    cell = f"cell {at['cell']}:" if at.get("cell") else ""
    page = material.place.blob(material.commit, path, 0 if cell else at["line"])
    return link(code(f"{path}:{cell}{at['line']}"), page)


def _sites(material: Material) -> Iterator[tuple[str, str]]:
    files = [(file, site) for file in material.report["files"] for site in file["sites"] if site["class"] != "left"]
    if not files:
        return
    seen = {site["class"] for _, site in files}
    yield "legend", "".join(f"* `{kind}`: {means}\n" for kind, means in _CLASSES.items() if kind in seen)
    yield "table", "\n| call site | class | code | what it became |\n|---|---|---|---|\n"
    for file, site in files:
        place = _place(material, file["path"], site)
        yield "call site", f"| {place} | {site['class']} | {site['code']} | {_became(site)} |\n"


def _became(site: dict[str, Any]) -> str:
    became = code(_shortened(site["after"])) if site["class"] in ("exact", "assumed") and site["after"] else ""
    if not became:
        became = text(site["message"])
    assumed = "".join(f"<br>assuming that {text(assumption)}" for assumption in site["assumptions"])
    return became + assumed


def _shortened(expression: str) -> str:
    joined = re.sub(r"(?<=\() | (?=\))", "", " ".join(expression.split())).replace(",)", ")")
    return joined if len(joined) <= _SHORT else f"{joined[: _SHORT - 1]}…"


def _flags(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    effects = {flag["name"]: flag for flag in report["flags"]["wanted"]}
    for place in report["flags"]["places"]:
        if not place["flags"]:
            continue
        yield "entry point", f"* {code(place['path'] + ':' + str(place['line']))}, {text(place['why'])}:\n"
        for name in place["flags"]:
            flag = effects.get(name, {"code": name, "effect": "", "numbers": ""})
            numbers = f" **{text(flag['numbers'])}**" if flag["numbers"] else ""
            yield "flag", f"  * {code(flag['code'])} {text(flag['effect'])}{numbers}\n"


def _measured(options: RequestOptions, room: int) -> str:
    checked = """
### What was checked, and where

* Every changed file parses, is the old one to the byte outside of its edits, and a second run finds nothing to do in
  it; a file that fails this stays as it was. The code was read, not run.
* For every rewritten call: torch's fused kernels have no second derivative, and neither had xformers'. On a Hopper GPU
  with torch 2.11 to 2.14, in half precision, without `is_causal` and with a key length of 64 more than a multiple of
  128, cuDNN's query gradient can be NaN (pytorch issue 196678); the helper module keeps off cuDNN there, plain calls do
  not.
"""
    if options.verified is None:
        return f"""{checked}* Old and new were not run side by side for this request.
  `xf2sdpa verify . -- python YOUR_PROGRAM.py` does it, on a GPU and with xformers installed: results, gradients and
  times of every call.
"""
    said = options.verified(room).strip()
    return f"{checked}\n<details open><summary>Old and new, run side by side</summary>\n\n{said}\n\n</details>\n"


def _naming(material: Material) -> Iterator[tuple[str, str]]:
    """The list, folded; one piece, so that it is closed wherever it is."""
    if not material.naming:
        return
    lines = sum(number for _, number in material.naming)
    said = f"{count(len(material.naming), 'file')}, {count(lines, 'line')}"
    helpers = {helper["path"] for helper in material.report["helpers"]}
    listed = []
    for path, number in material.naming[:_LISTED]:
        what = ", in comments and names of the helper module" if path in helpers else ""
        listed.append(f"* {code(path)}: {count(number, 'line')}{what}\n")
    if len(material.naming) > _LISTED:
        listed.append(f"* and {count(len(material.naming) - _LISTED, 'file')} more: `git grep -Iil xformers`\n")
    yield "list", f"<details><summary>{said}</summary>\n\n{''.join(listed)}\n</details>\n"


def _how(material: Material) -> str:
    """How to run it again, undo it, and be left alone."""
    tail = ["--", *material.options.arguments] if material.options.arguments else []
    again = " ".join(shlex.quote(word) for word in [*material.own, *tail])
    alone = " ".join(shlex.quote(word) for word in ["xf2sdpa", "rewrite", *material.words])
    return f"""
### Run again, undo, ignore

This brings the branch up to date, as long as nobody else has committed to it (commits of others are never overwritten);
`rewrite` does the same to a working copy, without a request:
{fenced(f"{plain_code(again)}{chr(10)}{plain_code(alone)}{chr(10)}", "sh")}
* **Undo:** close this request. After it is merged, `git revert` its one commit.
* **Ignore:** a request that is closed is not opened again. `# xf2sdpa: ignore` on a line leaves that call alone,
  `exclude = ["FOLDER"]` under `[tool.xf2sdpa]` in pyproject.toml a folder. What a code of the table means, `xf2sdpa
  explain CODE` says.
"""
