"""Run over a laid-out corpus and hold the outcome against a hand-checked answer sheet.

    python benchmarks/corpus.py CORPUS ANSWER_SHEET.tsv [--jobs N] [--diffs FOLDER] [--sites FILE.json] [--json FILE]

CORPUS holds one folder a repository, `OWNER+NAME/path`; it is copied, and only the copy is rewritten. The sheet has
one row a call site: `site` (`OWNER/NAME:path:line`), `rank`, `how_rank_is_seen`, `bias`, `p`, `scale`, `op`,
`duplicate_group`; an empty rank means that one could not be read off the function. `--json` stores what
`docs/make/repositories.py` shows: counts, and nothing of other people's code.

Limits, and the exit status 1 if one is missed: no file fails, every changed file parses, a second run changes
nothing, every changed line has a reason (found with difflib, not with the tool's own check), no contradiction with
the sheet, at least half of the sites that are no probes inline, no import of xformers left in four of five repositories
that use nothing but attention, masks and the helper's operators.
"""

from __future__ import annotations

import argparse
import ast
import csv
import difflib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from beyond_attention import other_uses
from kinds_of_sites import keywords_of_sdpa, lines, tables, ways_together

from xf2sdpa import __version__
from xf2sdpa.files.listing import list_files
from xf2sdpa.model import Run, Site, SiteClass
from xf2sdpa.report.diff import lines as diff
from xf2sdpa.rewrite.pages import all_codes
from xf2sdpa.run.options import RunOptions
from xf2sdpa.run.rewrite_files import rewrite_files
from xf2sdpa.run.write import write_back
from xf2sdpa.settings import Settings

INLINE = (SiteClass.EXACT, SiteClass.ASSUMED)
MIGRATED = (*INLINE, SiteClass.COMPAT, SiteClass.REMOVED)
IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+(?:xformers|mslk)\b", re.MULTILINE)
RANK_OF_CODE = {"XF101": 4, "XF102": 3}
KEPT = ("XF401", "XF402", "XF404", "XF405", "XF406")
UNKNOWN_BIAS = ("parameter (kind unknown)", "other unknown")
NO_COUNTERPART = ("BlockDiagonal", "FromBottomRight", "LocalAttention", "Padded")
Row = dict[str, str]
PROBE = "probe (torch.randn literals)"
ERRATA = {
    f"huggingface/diffusers:src/diffusers/models/{place}": {"how_rank_is_seen": PROBE}
    for place in ("attention.py:241", "attention_processor.py:425")
} | {
    "modelscope/scepter:scepter/modules/model/backbone/mmdit/sd3.py:71": {
        "bias": "tensor built locally (possibly None)"
    }
}
"""Where the sheet is wrong. The last: `if mask is not None: mask = …[:, :, :n]`, a tensor of three dimensions cut from
one that is made there; so it is that tensor or None. The others call on
`q = torch.randn((1, 2, 40), device="cuda", dtype=dtype)` inside a `try` whose result nobody reads. They are probes like
the twelve beside them; only the `dtype=` made them look otherwise."""


@dataclass
class Outcome:
    """What came of the whole corpus."""

    sites: dict[str, Site] = field(default_factory=dict)
    files: int = 0
    changed: int = 0
    lines: int = 0
    failures: list[str] = field(default_factory=list)
    unparsed: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    diffs: dict[str, str] = field(default_factory=dict)
    helpers: list[str] = field(default_factory=list)
    others: dict[str, list[str]] = field(default_factory=dict)
    """What each repository that imports xformers uses of it besides attention, masks and the helper's operators."""
    imports: dict[str, list[str]] = field(default_factory=dict)
    """Of each of them, the imports of xformers that are left."""
    kept: dict[str, list[str]] = field(default_factory=dict)
    """What the tool says about those, by file."""
    seconds: float = 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--diffs", type=Path, help="write the diff of every changed file into this folder")
    parser.add_argument("--sites", type=Path, help="write what became of each site, with its reasons, into this file")
    parser.add_argument("--json", type=Path, help="write the counts into this file")
    options = parser.parse_args()
    with options.sheet.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t")
        sheet = {row["site"]: row | ERRATA.get(row["site"], {}) for row in rows}
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "corpus"
        shutil.copytree(options.corpus, copy, symlinks=True)
        outcome = rewrite_corpus(copy, options.jobs)
    if options.diffs:
        write_diffs(outcome, options.diffs)
    if options.sites:
        options.sites.write_text(json.dumps({p: told(s) for p, s in outcome.sites.items()}, indent=1), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(counts(outcome, sheet), indent=1) + "\n", encoding="utf-8")
    return report(outcome, sheet)


# -- the run -----------------------------------------------------------------------------------------


def rewrite_corpus(copy: Path, jobs: int) -> Outcome:
    """Rewrite each repository by itself, twice."""
    outcome = Outcome()
    started = time.perf_counter()
    for repository in sorted(folder for folder in copy.iterdir() if folder.is_dir()):
        name = repository.name.replace("+", "/", 1)
        files = list_files([repository])
        outcome.files += len(files)
        wish = RunOptions(jobs=jobs)
        before = {file: Path(file).read_bytes() for file in files}
        if any(IMPORT.search(data) for data in before.values()):
            outcome.others[name] = sorted({use for data in before.values() for use in other_uses(data)})
        run = rewrite_files(files, Settings(), wish)
        write_back(run)
        for result in run.results:
            label = f"{name}:{result.path.relative_to(repository).as_posix()}"
            outcome.sites.update({f"{label}:{site.span.line}": site for site in result.sites})
            outcome.failures += [f"{label}: {f.code} {f.message}" for f in result.findings if f.is_error]
            if result.changed:
                relative = replace(result, path=result.path.relative_to(copy))
                outcome.diffs[label] = "".join(diff(Run([relative])))
        for file, old in before.items():
            new = Path(file).read_bytes()
            if new != old:
                label = f"{name}:{Path(file).relative_to(repository).as_posix()}"
                examine(outcome, label, old, new)
        outcome.helpers += [f"{name}:{made.path.relative_to(repository.resolve()).as_posix()}" for made in run.copies]
        outcome.unparsed += [f"{name}:{made.path.name}" for made in run.copies if not parses(made.path.read_bytes())]
        outcome.imports[name] = [
            f"{Path(file).relative_to(repository).as_posix()}:{line}" for file in files for line in import_lines(file)
        ]
        findings = (finding for result in run.results for finding in result.findings if finding.code in KEPT)
        outcome.kept[name] = sorted({f"{finding.code} {finding.message}" for finding in findings})
        after = {file: Path(file).read_bytes() for file in list_files([repository])}
        write_back(rewrite_files(list(after), Settings(), wish))
        outcome.second += [
            f"{name}:{Path(file).name}" for file in list_files([repository]) if after.get(file) != read(file)
        ]
        print(f"{time.perf_counter() - started:7.1f} s  {name}", file=sys.stderr, flush=True)
    outcome.seconds = time.perf_counter() - started
    return outcome


def import_lines(file: str) -> list[int]:
    """The lines of a file that import xformers."""
    data = Path(file).read_bytes()
    return [data.count(b"\n", 0, found.start()) + 1 for found in IMPORT.finditer(data)]


def examine(outcome: Outcome, label: str, old: bytes, new: bytes) -> None:
    """Look at one changed file without asking the tool."""
    outcome.changed += 1
    outcome.lines += old.count(b"\n")
    if not parses(new):
        outcome.unparsed.append(label)
    outcome.unexplained += [f"{label}:{place}" for place in unexplained(old, new)]


def parses(data: bytes) -> bool:
    try:
        ast.parse(data)
    except (SyntaxError, ValueError):
        return False
    return True


def read(file: str) -> bytes:
    return Path(file).read_bytes()


def unexplained(old: bytes, new: bytes) -> Iterator[str]:
    """The changes for which there is no reason: neither a call site, nor an import or guard of xformers, nor a
    transpose, a view, a mask of xformers, the helper module, a check, an added import of torch or one that served such
    lines."""
    ours = statement_lines(old)
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, first, last, start, end in matcher.get_opcodes():
        if kind == "equal":
            continue
        gone, come = before[first:last], after[start:end]
        if any(first < line <= last for line in ours) or any(REASON.search(line) for line in (*gone, *come)):
            continue
        if not come and all(is_idle_import(line, new) for line in gone):
            continue
        if is_narrowed_import(gone, come, new):
            continue
        if not b"".join(gone).strip() and not b"".join(come).strip() and near_ours(before, first, last):
            continue  # blank lines around a statement that went
        yield f"{first + 1}: {b''.join(gone)!r} -> {b''.join(come)!r}"


REASON = re.compile(
    rb"xformers|mslk|memory_efficient_attention|\.transpose\(|\.permute\(|rearrange\(|\.view\b|"
    rb"compat_|SwiGLU|RMSNorm|index_select_cat|scaled_index_add|attention_op\b|AttnProcessor2_0|torch\.autocast\(|"
    rb"LowerTriangularMask|BlockDiagonal|AttentionBias|fmha|is_causal|_attention_compat|torch\.unbind|= \w+\.unbind\(|"
    rb"import torch\.nn\.functional|import torch$|\(xf2sdpa\)",
    re.IGNORECASE,
)


def is_narrowed_import(gone: list[bytes], come: list[bytes], new: bytes) -> bool:
    """Whether an import only lost names that nothing of the new text has: they served what went elsewhere."""
    try:
        (old,), (rest,) = (ast.parse(b"".join(lines).strip()).body for lines in (gone, come))
    except (SyntaxError, ValueError):
        return False
    if not (isinstance(old, ast.ImportFrom) and isinstance(rest, ast.ImportFrom)):
        return False
    before, after = ({(alias.name, alias.asname) for alias in node.names} for node in (old, rest))
    lost = {(asname or name).encode() for name, asname in before - after}
    same = (old.module, old.level) == (rest.module, rest.level) and after < before
    return same and not any(re.search(rb"\b" + name + rb"\b", new) for name in lost)


IDLE_IMPORT = re.compile(rb"^\s*(?:from packaging )?import (warnings|version|importlib[.\w]*|packaging[.\w]*)\s*$")


def is_idle_import(line: bytes, new: bytes) -> bool:
    """An import of what asked about xformers or warned of it, whose name the new text does not hold any more."""
    found = IDLE_IMPORT.match(line)
    code = re.sub(rb"#[^\n]*", b"", new)
    return found is not None and not re.search(rb"\b" + found[1].partition(b".")[0] + rb"\s*[.(]", code)


def near_ours(lines: list[bytes], first: int, last: int) -> bool:
    return any(REASON.search(line) for line in lines[max(0, first - 3) : last + 3])


def statement_lines(old: bytes) -> set[int]:
    """The lines of every statement that calls xformers' attention, compound statements by their head only."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(old)):
        if not isinstance(node, ast.stmt) or hasattr(node, "body"):
            continue
        for child in ast.walk(node):
            name = getattr(child, "attr", getattr(child, "id", ""))
            if "memory_efficient_attention" in str(name):
                lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def told(site: Site) -> dict[str, object]:
    """What the tool says of one site."""
    notes = [note.code for note in site.notes]
    said = {"kind": site.kind.value, "code": site.code, "message": site.message, "notes": notes}
    assumptions = [f"{assumption.way.value}: {assumption}" for assumption in site.assumptions]
    return said | {"assumptions": assumptions, "before": site.before, "after": site.after}


# -- the sheet ---------------------------------------------------------------------------------------


def contradictions(site: Site, row: Row) -> Iterator[str]:
    """Where the tool says something else than the sheet. To leave a site contradicts nothing."""
    bias, probe = row["bias"], row["how_rank_is_seen"].startswith("probe")
    if site.kind is SiteClass.REMOVED and not probe and site.code != "XF218":
        yield "removed, but the sheet does not call it a probe"
    if site.kind not in INLINE:
        return
    rank = RANK_OF_CODE.get(site.code)
    expected = row["rank"] or ("3" if row["how_rank_is_seen"].startswith("helper-convention") else "")
    if probe:
        yield "inlined, but the sheet calls it a probe"
    if expected and str(rank) != expected:
        yield f"inlined as {rank}-D, but the sheet says {expected}-D"
    unknown = bias.startswith(UNKNOWN_BIAS) and not by_callers(site)
    if unknown or any(word in bias for word in NO_COUNTERPART):
        yield f"inlined, but the sheet's bias is: {bias}"
    after = keywords_of_sdpa(site.after)
    causal, masked = "is_causal" in after, "attn_mask" in after
    if bias.startswith("no mask") and (causal or masked):
        yield "a mask where the sheet has none"
    if bias.endswith("LowerTriangularMask") and not causal:
        yield "no is_causal, but the sheet has a causal mask"
    if bias.startswith("tensor") and not masked:
        yield "no attn_mask, but the sheet has a tensor"
    yield from arguments(site, row, after)


def by_callers(site: Site) -> bool:
    """Whether the mask of a site is known by what the sheet does not look at; such sites are listed, and read by hand.

    By callers (none passes a mask: there is none, behind a check; all pass a tensor: it is there, behind a check), by
    what a library documents of a method (a tensor or None), or as nothing in the project makes mask objects (likewise).
    Each counts only with the call that it allows; what is known of ranks excuses nothing.
    """
    masked = "attn_mask" in keywords_of_sdpa(site.after)
    checked = any(note.code == "XF307" for note in site.notes)
    ways = {
        "nothing in this project passes": checked and not masked,
        "only for a list of tensors, and nothing in this project gives one": checked and not masked,
        "which nothing in this project calls": checked and not masked,
        "every call in this project passes": checked and masked,
        "prepare_attention_mask is the method of": masked,
        "attn_bias is a tensor or None, as nothing in this project makes a mask object": masked,
    }
    return any(allowed and way in sentence for way, allowed in ways.items() for sentence in site.assumptions)


def arguments(site: Site, row: Row, after: set[str]) -> Iterator[str]:
    """Whether dropout and scale went over; a literal zero and None are the defaults and go."""
    before = {keyword.arg: keyword.value for keyword in parsed_call(site.before).keywords}
    for old, new, default in (("p", "dropout_p", (0, 0.0)), ("scale", "scale", (None,))):
        given = row[old] == "given"
        value = before.get(old)
        drops = isinstance(value, ast.Constant) and value.value in default
        if given and not drops and new not in after:
            yield f"{old} is given in the sheet, but {new} is not passed on"
        if not given and new in after:
            yield f"{new} is passed, but the sheet has no {old}"
    if "op" in after:
        yield "op is passed on"


def parsed_call(text: str) -> ast.Call:
    node = ast.parse(f"({text})", mode="eval").body
    assert isinstance(node, ast.Call)
    return node


def disagreements(outcome: Outcome, sheet: dict[str, Row]) -> Iterator[str]:
    """Copies of one site of which some are rewritten and others left."""
    groups: dict[str, set[tuple[str, str]]] = {}
    for place, site in outcome.sites.items():
        if place in sheet:
            known = groups.setdefault(sheet[place]["duplicate_group"], set())
            known.add((site.kind.value, site.code))
    for group, kinds in sorted(groups.items()):
        if len(kinds) > 1:
            yield f"{group}: {', '.join(' '.join(kind) for kind in sorted(kinds))}"


def freedom(outcome: Outcome) -> tuple[list[str], list[str], list[str]]:
    """The repositories that use attention, masks and operators only; those of them that keep an import; all free."""
    alone = [name for name, uses in outcome.others.items() if not uses]
    free = [name for name in outcome.others if not outcome.imports[name]]
    stuck = [
        f"{name}: {', '.join(outcome.imports[name])}: {'; '.join(outcome.kept[name]) or 'no word about it'}"
        for name in alone
        if outcome.imports[name]
    ]
    return alone, stuck, free


def misses(found: dict[str, Site], sheet: dict[str, Row]) -> Iterator[str]:
    """Sites whose rank and mask the sheet calls readable, and that are not inline all the same."""
    for place, site in sorted(found.items()):
        row = sheet[place]
        readable = row["rank"] in ("3", "4") and (
            row["bias"].startswith("no mask") or "LowerTriangularMask" in row["bias"]
        )
        unsaid = any(word in row["bias"] for word in NO_COUNTERPART)
        if readable and not unsaid and site.kind not in (*INLINE, SiteClass.REMOVED):
            yield f"{place}: {site.kind.value} {site.code} {site.message}"


# -- the report --------------------------------------------------------------------------------------


def in_python(sheet: dict[str, Row]) -> dict[str, Row]:
    """The rows of the sheet whose sites are in Python files."""
    return {place: row for place, row in sheet.items() if place.rpartition(":")[0].endswith((".py", ".pyi"))}


def no_probes(outcome: Outcome, sheet: dict[str, Row]) -> list[Site]:
    """The sites of the sheet that compute something."""
    rows = in_python(sheet)
    return [s for p, s in outcome.sites.items() if p in rows and not rows[p]["how_rank_is_seen"].startswith("probe")]


def counts(outcome: Outcome, sheet: dict[str, Row]) -> dict[str, Any]:
    """What came of the corpus, as counts."""
    sites = no_probes(outcome, sheet)
    alone, stuck, free = freedom(outcome)
    return {
        "xf2sdpa": __version__,
        "files": outcome.files,
        "changed": outcome.changed,
        "sites": len(sites),
        "classes": Counter(site.kind.value for site in sites),
        "tables": tables(sites),
        "ways together": ways_together(site for site in sites if site.kind in INLINE),
        "repositories": len(outcome.others),
        "repositories free of xformers": len(free),
        "repositories of attention alone": len(alone),
        "those of them free of xformers": len(alone) - len(stuck),
        "helper modules": len(outcome.helpers),
    }


def report(outcome: Outcome, sheet: dict[str, Row]) -> int:
    python = in_python(sheet)
    found = {place: site for place, site in outcome.sites.items() if place in python}
    against = [f"{place}: {text}" for place, site in found.items() for text in contradictions(site, python[place])]
    kinds = Counter(site.kind for site in found.values())
    real = no_probes(outcome, sheet)
    inline = sum(site.kind in INLINE for site in real)
    elsewhere = len(sheet) - len(python)
    print(f"files looked at       {outcome.files}, twice, in {outcome.seconds:.1f} s")
    print(f"files changed         {outcome.changed} ({outcome.lines} lines)")
    print(f"sites of the sheet    {len(sheet)}, {elsewhere} of them not in a .py file")
    print(f"sites found           {len(found)} of {len(python)}")
    print(f"rows of the sheet that were put right: {sum(place in sheet for place in ERRATA)} (ERRATA in this file)")
    print(f"inline                {kinds[SiteClass.EXACT]} exact, {kinds[SiteClass.ASSUMED]} assumed")
    print(f"compat                {kinds[SiteClass.COMPAT]}")
    print(f"removed               {kinds[SiteClass.REMOVED]}")
    print(f"left                  {kinds[SiteClass.LEFT]}")
    codes = Counter(site.code for site in found.values() if site.kind is SiteClass.LEFT)
    for code, count in codes.most_common():
        print(f"    {count:3}  {code}  {all_codes()[code]}")
    share = inline / len(real) if real else 1.0
    print(f"inline, of the sites that are no probes: {inline} of {len(real)} ({share:.0%}; limit 50 %)")
    for line in lines(tables(real)):
        print(f"    {line}")
    print(f"migrated or removed   {sum(kinds[kind] for kind in MIGRATED)} of {len(found)}")
    alone, stuck, free = freedom(outcome)
    print(f"repositories          {len(free)} of {len(outcome.others)} that import xformers do so no longer")
    gone = len(alone) - len(stuck)
    print(f"  of attention alone  {gone} of {len(alone)} ({gone / max(len(alone), 1):.0%}; limit 80 %)")
    print(f"helper modules        {len(outcome.helpers)}")
    lists = {
        "contradictions with the sheet": against,
        "sites missing": [place for place in python if place not in found],
        "sites that the sheet does not have": [place for place in outcome.sites if place not in sheet],
        "files that could not be worked on": outcome.failures,
        "changed files that do not parse": outcome.unparsed,
        "files that a second run changes": outcome.second,
        "changes without a reason": outcome.unexplained,
    }
    for title, entries in lists.items():
        show(title, entries)
    show("readable by the sheet, yet not inline (no fault as such)", list(misses(found, python)))
    show("attention alone, yet xformers is still imported (each a miss)", stuck)
    rest = [f"{n}: {', '.join(uses)}" for n, uses in outcome.others.items() if uses and outcome.imports[n]]
    show("still importing xformers, as they use more of it", rest)
    left = [f"{p}: {s.code} {s.message}" for p, s in sorted(found.items()) if s.kind is SiteClass.LEFT]
    show("sites left", left)
    show(
        "judged by callers or a library, where the sheet looks at the function",
        [p for p, s in found.items() if by_callers(s)],
    )
    show("copies judged differently (no fault as such)", list(disagreements(outcome, sheet)))
    return int(any(lists.values()) or share < 0.5 or len(stuck) > 0.2 * len(alone))


def show(title: str, entries: list[str]) -> None:
    print(f"{title}: {len(entries)}")
    for entry in entries:
        print(f"    {entry}")


def write_diffs(outcome: Outcome, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for label, text in outcome.diffs.items():
        file = folder / (re.sub(r"[^\w.-]", "+", label) + ".diff")
        file.write_text(text, encoding="utf-8", newline="")


if __name__ == "__main__":
    sys.exit(main())
