"""From a text to its rewrite: analysis, rules, edits, and the self-check that every run makes.

Nothing here reads or writes a file; `xf2sdpa.run` does that for many.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xf2sdpa.analysis.foreign import deciding
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.codes import CHECK_FAILED, IN_HELPER, RUN_CODES, TOO_DEEP, UNPARSABLE
from xf2sdpa.edits.expected import top_line
from xf2sdpa.edits.selfcheck import CheckFailed, check, check_left, check_program
from xf2sdpa.model import FileResult, Finding, FindingKind, SiteClass, Span
from xf2sdpa.rewrite.carry_out import edited_text, site_of
from xf2sdpa.rewrite.decide import decide
from xf2sdpa.rewrite.options import Options
from xf2sdpa.rulekit.draft import CallDraft, FileDraft
from xf2sdpa.settings import Settings

NEEDLE = re.compile("memory_efficient_attention|merge_attentions")
"""Every call site spells one of these, whatever the module is called."""
WIDE_NEEDLE = re.compile("xformers|XFormers|mslk|memory_efficient_attention")
GUARD_NEEDLE = re.compile(r"(_attention_compat|xf2sdpa\.compat)\s+import\b[^#]*\bscaled_dot_product_attention")
"""What an earlier run guarded, which this one may unguard."""
_WHOLE_FILE = Span(1, 0, 1, 0)


def rewrite_text(
    text: str,
    path: str = "<string>",
    settings: Settings | None = None,
    *,
    only_exact: bool = False,
    handed_on: frozenset[str] = frozenset(),
    compat: str | None = None,
) -> FileResult:
    """Rewrite one text; reads and writes no file.

    Args:
        text: Python source, with its own newlines.
        path: what to call it in sites and findings.
        settings: as configured; the defaults, if None.
        only_exact: leave sites that rest on an assumption.
        handed_on: names that other files import from this one, which must stay bound.
        compat: the module that this file imports the helper by, `._attention_compat`; None to do without a helper.

    Returns:
        The result; where the text cannot be worked on, it is unchanged and a finding with `is_error` says why.
    """
    return rewrite_with(text, path, Options(settings or Settings(), only_exact, handed_on, compat))


def rewrite_with(text: str, path: str, options: Options) -> FileResult:
    """`rewrite_text`, with its options in one piece."""
    result = FileResult(Path(path), text, text)
    # The helper decides at run time, which is not what --only exact asks for.
    if options.only_exact or not options.settings.selects(IN_HELPER):
        options = replace(options, compat=None)
    if not (NEEDLE if options.compat is None else WIDE_NEEDLE).search(text) and not GUARD_NEEDLE.search(text):
        return result
    try:
        _rewrite(result, options)
    except SyntaxError as error:
        span = Span(error.lineno or 1, max((error.offset or 1) - 1, 0), error.lineno or 1, error.offset or 1)
        _fail(result, UNPARSABLE, f"does not parse: {error.msg}", _way_out(result.path), span)
    except (RecursionError, MemoryError):
        _fail(result, TOO_DEEP, "nests too deep to be analysed", "Split the expression, or exclude the file.")
    except CheckFailed as failure:
        _fail(
            result,
            CHECK_FAILED,
            f"the rewrite failed its self-check: {failure}",
            "Please report this; the file is as it was.",
        )
    return result


def _way_out(path: Path) -> str:
    """What to do where a file does not parse: one that was named may be no Python at all."""
    if path.suffix in ("", ".py", ".pyi", ".pyw", ".ipynb") or path.name.startswith("<"):
        return RUN_CODES[UNPARSABLE].way_out
    return f"{path.name} is no Python file by its name: name Python files, notebooks, or their folder."


def _left_in(draft: FileDraft, calls: Sequence[CallDraft]) -> list[str]:
    """The source of each call that is left."""
    return [source_of(call.site.node, draft.lines) for call in calls if call.kind is SiteClass.LEFT]


def _fail(result: FileResult, code: str, message: str, advice: str, span: Span = _WHOLE_FILE) -> None:
    """Put the file back as it was and say why."""
    result.new = result.old
    result.sites.clear()
    result.findings[:] = [Finding(str(result.path), span, code, message, advice, FindingKind.ERROR)]


def _rewrite(result: FileResult, options: Options) -> None:
    path = str(result.path)
    draft, calls = decide(result.old, path, options)
    result.switches = tuple(deciding(draft.names, own_library=draft.own_library, besides=draft.is_gone))
    transcript = None
    if draft.edits:
        result.new, transcript = edited_text(draft, options.settings)
        try:
            second, calls_after = decide(result.new, path, options)
        except SyntaxError as error:
            raise CheckFailed(f"the new text does not parse, line {error.lineno}") from error
        check(result.old, result.new, draft.edits, second.edits, top_line(draft.tree))
        check_program(draft.tree, draft.edits, second.tree)
        check_left(_left_in(draft, calls), _left_in(second, calls_after))
    result.sites = [site_of(call, transcript) for call in calls if not call.stays]
    result.findings = sorted(draft.findings, key=lambda finding: (finding.span.line, finding.span.column))
    result.compat_names = frozenset(draft.compat_names.values())
