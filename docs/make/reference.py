"""The pages of the codes and the table of flags, made from the rules and from the flags' own table.

python docs/make/reference.py            # writes docs/codes/ and the table in docs/flags.md
python docs/make/reference.py --check    # exit 1 if they say something else than the rules
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from pages import DOCS, between, run, wrapped

from xf2sdpa.codes import FAMILIES, RETIRED, RUN_CODES, WAYS_OUT
from xf2sdpa.flags import table as flags
from xf2sdpa.rewrite.pages import all_codes, retired_codes
from xf2sdpa.rewrite.registry import all_rules
from xf2sdpa.rulekit.rule import Rule

CODES = DOCS / "codes"
_RUNNING = re.compile(r"^This is Python \S+: for")
"""How a page begins that names the Python which shows it."""
_CODE = re.compile(r"(?<![\w`\[])XF\d{3}\b(?!`)")
MADE = "<!-- made by docs/make/reference.py from the rules; do not edit -->"


def made() -> dict[Path, str]:
    """Every file of this script with its text; empty for a page whose code is gone."""
    listed = all_codes()
    texts = dict.fromkeys(CODES.glob("XF*.md"), "")
    texts |= {CODES / f"{code}.md": page(code, title) for code, title in listed.items()}
    texts[CODES / "index.md"] = index(listed)
    place = DOCS / "flags.md"
    texts[place] = between(place.read_text("utf-8"), "flags", flag_table())
    return texts


def page(code: str, title: str) -> str:
    """The page of one code, as `xf2sdpa explain CODE` has it."""
    parts = [MADE, f"# {code}", f"**{title.rstrip('.')}**"]
    if code in flags.CODES:
        parts += [wrapped("[H200 flags](../flags.md) tells which flags there are, and who gets them.")]
    elif code in RUN_CODES:
        own = RUN_CODES[code]
        parts += [wrapped(own.reason), "Example:", fenced(own.example, "text")]
        parts += ["## Way out", wrapped(_RUNNING.sub("For", own.way_out))]
    else:
        rule = next(rule for rule in all_rules() if code in rule.codes)
        parts += [
            with_links(rule.page, code),
            *examples(rule),
            "## Way out",
            wrapped(WAYS_OUT[code[:3]]),
            *siblings(rule, code),
        ]
    return "\n\n".join([*parts, f"[All codes](index.md); `xf2sdpa explain {code}` prints this page."]) + "\n"


def with_links(text: str, own: str) -> str:
    """A text in which other codes lead to their pages."""
    listed = all_codes()
    return _CODE.sub(lambda found: f"[{found[0]}]({found[0]}.md)" if found[0] in {*listed} - {own} else found[0], text)


def examples(rule: Rule) -> Iterator[str]:
    """The rule's examples, before and after."""
    for example in rule.examples:
        yield "Before:" if example.after else "Left as it is:"
        yield fenced(example.before, "py")
        if example.after:
            yield "After:"
            yield fenced(example.after, "py")


def siblings(rule: Rule, code: str) -> Iterator[str]:
    """The other codes of a rule."""
    others = [f"* [{other}]({other}.md): {title}" for other, title in rule.codes.items() if other != code]
    if others:
        yield "## Codes of the same rule"
        yield "\n".join(others)


def fenced(text: str, language: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def index(listed: dict[str, str]) -> str:
    """All codes by family, and those that nothing is reported under any more."""
    parts = [MADE, "# Codes"]
    parts.append(
        wrapped(
            "Every line of a report has a code, and every code a page; `xf2sdpa explain CODE` prints it. `--select` "
            "and `--ignore` take codes and beginnings of codes. A code never changes its meaning."
        )
    )
    for family, about in FAMILIES.items():
        rows = [f"| [{code}]({code}.md) | {cell(title)} |" for code, title in listed.items() if code.startswith(family)]
        parts.append(f"## {family}: {about}")
        parts.append("\n".join(["| code | |", "|---|---|", *rows]))
    parts += ["## Retired", wrapped(RETIRED + " `--select` and `--ignore` take them and do nothing.")]
    parts.append("\n".join(f"* {code}: {title}" for code, title in retired_codes().items()))
    return "\n\n".join(parts) + "\n"


def flag_table() -> str:
    """The flags that xf2sdpa sets, and those that it does not."""
    parts = ["\n\n".join(flag_entry(flag, f"### `{flag.name}`") for flag in flags.FLAGS)]
    rows = [
        f"| `{cell(flag.code.format(torch='torch'))}` | {cell(flag.effect)} | {cell(flag.numbers or 'the same')} |"
        for flag in flags.NOT_SET
    ]
    parts.append("### What xf2sdpa never sets")
    parts.append("\n".join(["| statement | why not | results |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def flag_entry(flag: flags.Flag, title: str) -> str:
    """One flag: its statement, what it does, what it does to numbers, since when, and who says so."""
    since = ".".join(map(str, flag.since))
    told = f"Since torch {since}. Source: {flag.source}."
    if flag.numbers:
        told = f"Results: {flag.numbers} {told}"
    return "\n\n".join([title, fenced(flag.code.format(torch="torch"), "py"), wrapped(flag.effect), wrapped(told)])


def cell(text: str) -> str:
    """A text as it stands in a table."""
    return text.replace("\n", " ").replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(run(made, __doc__))
