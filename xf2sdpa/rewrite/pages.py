"""The pages that `explain` shows, made from the rules' own docstrings and examples."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from xf2sdpa.codes import RETIRED, RUN_CODES, WAYS_OUT
from xf2sdpa.flags import table as flags
from xf2sdpa.rewrite.class_pages import class_names, class_page
from xf2sdpa.rulekit.rule import Rule


def explain(word: str) -> str | None:
    """The page of a code, a class, FLAGS, or a flag by its name; all codes that begin so; None for no such word."""
    code = word.upper()
    if code == "FLAGS" or word.lower() in flags.SETS:
        return flags.page()
    if (entry := flags.entry(word.lower())) is not None:
        return entry
    if (about := class_page(word.lower())) is not None:
        return about
    listed = all_codes()
    if code in listed:
        return _page(code, listed[code])
    if code in retired_codes():
        return _retired_page(code)
    beginning = [f"{other}  {line}" for other, line in listed.items() if other.startswith(code)]
    return "\n".join(beginning) + "\n" if beginning and code.startswith("XF") else None


def nearest(word: str) -> str:
    """What may have been meant by a word that has no page; empty if nothing is near."""
    import difflib  # noqa: PLC0415 - only for what is misspelt

    known = {name.lower(): name for name in (*all_codes(), "flags", *flags.CHOICES, *class_names())}
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return known[near[0]] if near else ""


def _page(code: str, title: str) -> str:
    if code in flags.CODES:
        return f"{code}: {title}\n\n{flags.page()}"
    if code in RUN_CODES:
        page = RUN_CODES[code]
        parts = [f"{code}: {title}", _wrapped(page.reason), _indented("example", page.example)]
        return "\n\n".join([*parts, _wrapped(f"Way out: {page.way_out}")]) + "\n"
    from xf2sdpa.rewrite.registry import all_rules  # noqa: PLC0415 - loads every rule

    rule = next(rule for rule in all_rules() if code in rule.codes)
    parts = [f"{code}: {title}", rule.page, *_examples(rule), _wrapped(f"Way out: {WAYS_OUT[code[:3]]}")]
    others = [f"  {other}  {line}" for other, line in rule.codes.items() if other != code]
    if others:
        parts.append("\n".join(["Codes of the same rule:", *others]))
    return "\n\n".join(parts) + "\n"


def _retired_page(code: str) -> str:
    from xf2sdpa.rewrite.registry import all_rules  # noqa: PLC0415 - loads every rule

    rule = next(rule for rule in all_rules() if code in rule.retired)
    told = f"{RETIRED} Nothing is reported under {code} any more; `--select` and `--ignore` take it and do nothing."
    return "\n\n".join([f"{code}: retired ({rule.retired[code]})", _wrapped(told), rule.page, *_examples(rule)]) + "\n"


def _examples(rule: Rule) -> Iterator[str]:
    for example in rule.examples:
        yield _indented("before" if example.after else "left as it is", example.before)
        if example.after:
            yield _indented("after", example.after)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


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
