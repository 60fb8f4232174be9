"""What a run tells of its files: all that nobody asked to ignore."""

from __future__ import annotations

from xf2sdpa.model import FindingKind, Run
from xf2sdpa.settings import Settings

_ALWAYS = (FindingKind.DONE, FindingKind.ERROR)
"""What was done, and what failed, is told in any case: a code that is not selected keeps from being done."""


def leave_untold(run: Run, settings: Settings) -> None:
    """Take away what is told under ignored codes, as `FileDraft.report` does for rules.

    The last step, as findings say until then what needs xformers. `select` only chooses what is done.
    """
    for result in run.results:
        result.findings = [f for f in result.findings if f.kind in _ALWAYS or not settings.ignores(f.code)]
    run.results = [result for result in run.results if result.sites or result.findings or result.changed]
