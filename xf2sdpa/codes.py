"""Every code that can stand in a report: those of the rules, and those of the run itself."""

from __future__ import annotations

from xf2sdpa.flags import table as flags

UNPARSABLE = "XF901"
UNREADABLE = "XF902"
UNDECODABLE = "XF903"
UNWRITABLE = "XF904"
CHECK_FAILED = "XF905"
IGNORED = "XF906"
NOT_SELECTED = "XF907"
NOT_EXACT = "XF908"
TOO_DEEP = "XF909"
IN_HELPER = "XF161"
GUARDED = "XF162"
STILL_BOUND = "XF407"

RUN_CODES = {
    IN_HELPER: "The call goes to the helper module, which looks at the inputs when it runs. What the function does not "
    "show is in the message: the number of dimensions, the kind of mask, the dtype. Show it there, and a later run "
    "can write the call inline.",
    GUARDED: "The call needs the helper module, but the guard around the import of xformers does more than set a "
    "flag, so it is not known what it stands for. Take the import out of the guard and run again.",
    STILL_BOUND: "A rewritten file cannot be imported without xformers. It imports one that still imports xformers at "
    "its top level. Rewrite the other file by hand, or import it only where it is needed.",
    UNPARSABLE: "The file is not Python that this interpreter can parse. Mend it, or exclude it.",
    UNREADABLE: "The file cannot be read. Look at its permissions, or exclude it.",
    UNDECODABLE: "The file is not what its encoding declaration (or UTF-8, without one) says. Mend the declaration.",
    UNWRITABLE: "The file cannot be written, or changed while the run went on. It is as it was.",
    CHECK_FAILED: "The rewrite did not pass the check that every run makes of its own work: the new text must parse, "
    "be the old one to the byte outside the edits, and give a second run nothing to do. The file is as it was. "
    "This is a defect of xf2sdpa: please report it with the call that the message names.",
    IGNORED: "A comment `# xf2sdpa: ignore` or `# xf2sdpa: ignore[XF101]` on the call asks to leave it alone.",
    NOT_SELECTED: "The configuration's `select` or `ignore` leaves this rule out.",
    NOT_EXACT: "The rewrite rests on an assumption, and --only exact asks to leave such calls alone.",
    TOO_DEEP: "An expression nests deeper than the interpreter's recursion limit. Split it, or exclude the file.",
}


def explain(code: str) -> str | None:
    """The page of a code (or of FLAGS), as plain text; None for a code that does not exist."""
    code = code.upper()
    if code == "FLAGS" or code in flags.CODES:
        return (f"{code}: {flags.CODES[code]}\n\n" if code in flags.CODES else "") + flags.page()
    if code in RUN_CODES:
        return f"{code}\n\n{RUN_CODES[code]}\n"
    from xf2sdpa.rule import all_rules  # noqa: PLC0415 - loads every rule

    rule = next((rule for rule in all_rules() if code in rule.codes), None)
    if rule is None:
        return None
    parts = [f"{code}: {rule.codes[code]}", rule.page]
    for example in rule.examples:
        parts.append(_indented("before" if example.after else "left as it is", example.before))
        if example.after:
            parts.append(_indented("after", example.after))
    others = [f"  {other}  {line}" for other, line in rule.codes.items() if other != code]
    if others:
        parts.append("\n".join(["Codes of the same rule:", *others]))
    return "\n\n".join(parts) + "\n"


def _indented(title: str, text: str) -> str:
    return "\n".join([f"{title}:", *(f"    {line}".rstrip() for line in text.splitlines())])


def all_codes() -> dict[str, str]:
    """Every code with one line about it."""
    from xf2sdpa.rule import all_rules  # noqa: PLC0415 - loads every rule

    listed = {code: line for rule in all_rules() for code, line in rule.codes.items()}
    listed.update(flags.CODES)
    listed.update({code: page.partition(". ")[0].rstrip(".") for code, page in RUN_CODES.items()})
    return dict(sorted(listed.items()))
