"""The report as JUnit's XML: a suite a file, a case an entry.

What a run would change has failed, what could not be worked on is an error, a call that is left is skipped.
(The form that Jenkins' xUnit plugin checks, junit-10.xsd; GitLab and others read the same.)
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from xf2sdpa.files.plain import plain
from xf2sdpa.model import Pin, Run
from xf2sdpa.report.entries import Entry, Level, entries
from xf2sdpa.report.places import from_root


def render(run: Run, _: Pin | None, *, written: bool) -> str:
    """One document; where nothing was found it has one case, which passes: some services refuse an empty one."""
    by_file: dict[str, list[Entry]] = {}
    for entry in entries(run, written=written):
        by_file.setdefault(entry.path, []).append(entry)
    suites = [_suite(plain(from_root(path)), found) for path, found in by_file.items()]
    if not suites:
        passed = '    <testcase name="no call of xformers\' attention" classname="xf2sdpa"/>'
        suites = [_open("testsuite", "xf2sdpa", [], 1), passed, "  </testsuite>"]
    told = [entry for found in by_file.values() for entry in found]
    head = ['<?xml version="1.0" encoding="UTF-8"?>', _open("testsuites", "xf2sdpa", told, max(1, len(told)))]
    return "\n".join([*head, *suites, "</testsuites>"]) + "\n"


def _open(tag: str, name: str, told: list[Entry], tests: int) -> str:
    failures = sum(entry.pending and entry.level is not Level.NOTE for entry in told)
    errors = sum(entry.level is Level.ERROR for entry in told)
    indent = "  " if tag == "testsuite" else ""
    return f'{indent}<{tag} name={_attribute(name)} tests="{tests}" failures="{failures}" errors="{errors}">'


def _suite(name: str, found: list[Entry]) -> str:
    cases = "\n".join(_case(name, entry) for entry in found)
    return f"{_open('testsuite', name, found, len(found))}\n{cases}\n  </testsuite>"


def _case(name: str, entry: Entry) -> str:
    place = f"{entry.span.line}:{entry.span.column + 1}"
    title = " ".join(filter(None, [entry.code, entry.kind, entry.name, f"at {place}"]))
    head = f"<testcase name={_attribute(title)} classname={_attribute(name)}"
    tag = _outcome(entry)
    if not tag:
        return f"    {head}/>"
    text = escape("\n".join([f"{name}:{place}: {entry.code} {entry.kind}: {entry.message}", *entry.details]))
    about = f"type={_attribute(entry.code or 'xf2sdpa')} message={_attribute(entry.message)}"
    return f"    {head}>\n      <{tag} {about}>{text}</{tag}>\n    </testcase>"


def _outcome(entry: Entry) -> str:
    """The element that says how a case ended; empty where it passed."""
    if entry.level is Level.ERROR:
        return "error"
    if entry.level is Level.WARNING:
        return "failure" if entry.pending else "skipped"
    return ""


def _attribute(text: str) -> str:
    return quoteattr(plain(text))
