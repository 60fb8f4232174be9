"""The pages that `explain` shows, made from the rules' own docstrings and examples."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from xf2sdpa.codes import RETIRED, RUN_CODES, WAYS_OUT
from xf2sdpa.flags import table as flags
from xf2sdpa.folding import WIDEST
from xf2sdpa.rewrite.class_pages import class_names, class_page
from xf2sdpa.rulekit.rule import Rule


def explain(word: str, width: int = WIDEST) -> str | None:
    """The page of a code, a class, FLAGS, or a flag by its name; all codes that begin so; None for no such word.

    Args:
        word: in any case.
        width: columns to fill; code is shown as it is.
    """
    code = word.upper()
    if code == "FLAGS" or word.lower() in flags.SETS:
        return flags.page(width)
    if (entry := flags.entry(word.lower(), width)) is not None:
        return entry
    if (about := class_page(word.lower(), width)) is not None:
        return about
    codes = all_codes()
    if code in codes:
        return _page(code, codes[code], width)
    if code in retired_codes():
        return _retired_page(code, width)
    beginning = {other: line for other, line in codes.items() if other.startswith(code)}
    return listed(beginning, width) if beginning and code.startswith("XF") else None


def listed(codes: Mapping[str, str], width: int) -> str:
    """Codes, each with one line about it."""
    return "".join(f"{_wrapped(f'{code}  {line}', width, len(code) + 2)}\n" for code, line in codes.items())


def nearest(word: str) -> str:
    """What may have been meant by a word that has no page; empty if nothing is near."""
    import difflib  # noqa: PLC0415 - only for what is misspelt

    known = {name.lower(): name for name in (*all_codes(), "flags", *flags.CHOICES, *class_names())}
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return known[near[0]] if near else ""


def _page(code: str, title: str, width: int) -> str:
    head = _wrapped(f"{code}: {title}", width, 4)
    if code in flags.CODES:
        return f"{head}\n\n{flags.page(width)}"
    if code in RUN_CODES:
        page = RUN_CODES[code]
        parts = [head, _wrapped(page.reason, width), _indented("example", page.example)]
        return "\n\n".join([*parts, _wrapped(f"Way out: {page.way_out}", width)]) + "\n"
    from xf2sdpa.rewrite.registry import all_rules  # noqa: PLC0415 - loads every rule

    rule = next(rule for rule in all_rules() if code in rule.codes)
    way_out = _wrapped(f"Way out: {WAYS_OUT[code[:3]]}", width)
    parts = [head, _paragraphs(rule.page, width), *_examples(rule), way_out]
    others = {f"  {other}": line for other, line in rule.codes.items() if other != code}
    if others:
        parts.append(f"Codes of the same rule:\n{listed(others, width)}".rstrip("\n"))
    return "\n\n".join(parts) + "\n"


def _retired_page(code: str, width: int) -> str:
    from xf2sdpa.rewrite.registry import all_rules  # noqa: PLC0415 - loads every rule

    rule = next(rule for rule in all_rules() if code in rule.retired)
    told = f"{RETIRED} Nothing is reported under {code} any more; `--select` and `--ignore` take it and do nothing."
    head = _wrapped(f"{code}: retired ({rule.retired[code]})", width, 4)
    return "\n\n".join([head, _wrapped(told, width), _paragraphs(rule.page, width), *_examples(rule)]) + "\n"


def _examples(rule: Rule) -> Iterator[str]:
    for example in rule.examples:
        yield _indented("before" if example.after else "left as it is", example.before)
        if example.after:
            yield _indented("after", example.after)


def _wrapped(text: str, width: int, hanging: int = 0) -> str:
    return textwrap.fill(
        text, width, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False
    )  # fmt: skip


def _paragraphs(page: str, width: int) -> str:
    """The paragraphs of a rule's page, whose lines are those of its source where they fit."""
    if max(map(len, page.splitlines())) <= width:
        return page
    return "\n\n".join(_wrapped(" ".join(part.split()), width) for part in page.split("\n\n"))


def _indented(title: str, text: str) -> str:
    return "\n".join([f"{title}:", *(f"    {line}".rstrip() for line in text.splitlines())])


def all_codes() -> dict[str, str]:
    """Every code with one line about it."""
    from xf2sdpa.rewrite.registry import all_rules  # noqa: PLC0415 - loads every rule

    listed = {code: line for rule in all_rules() for code, line in rule.codes.items()}
    listed.update(flags.CODES)
    listed.update({code: page.title for code, page in RUN_CODES.items()})
    return dict(sorted(listed.items()))


def retired_codes() -> dict[str, str]:
    """Every code that nothing is reported under any more, with what it was."""
    from xf2sdpa.rewrite.registry import all_rules  # noqa: PLC0415 - loads every rule

    return dict(sorted((code, line) for rule in all_rules() for code, line in rule.retired.items()))


def deciding_codes() -> set[str]:
    """The codes of what a run does: calls, imports and guards, flags. The others only tell about it."""
    from xf2sdpa.rewrite.registry import all_rules  # noqa: PLC0415 - loads every rule

    notes = {code for rule in all_rules() for code in rule.notes}
    return {code for code in all_codes() if code.startswith(("XF1", "XF5"))} - notes
