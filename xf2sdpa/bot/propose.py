"""One run of the bot, from a place to a request that is open, up to date, or not wanted.

Whatever happens on the way, running again finds what was done and goes on from there: the branch by the mark of its
commit, the request by its branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xf2sdpa.bot import body, history
from xf2sdpa.bot.commits import Commits
from xf2sdpa.bot.forges.base import Forge, NewRequest
from xf2sdpa.bot.git import Git
from xf2sdpa.bot.model import BotError, Identity, Operation, Outcome, Repository, Request, RequestOptions, State
from xf2sdpa.bot.remotes import Place
from xf2sdpa.bot.rewriting import rewritten, words_for
from xf2sdpa.bot.scratch import Scratch
from xf2sdpa.bot.secret import Secret
from xf2sdpa.bot.web import ForgeError, pause


@dataclass(frozen=True)
class Bot:
    """What a run works with.

    Attributes:
        place: the repository.
        forge: its forge.
        secret: the token; None is enough for --dry-run on what is public.
        options: what was asked for.
        own: the command line that makes this run, for the request's text.
        folder: an empty folder to work in.
        tell: prints a line of progress.
    """

    place: Place
    forge: Forge
    secret: Secret | None
    options: RequestOptions
    own: Sequence[str]
    folder: Path
    tell: Callable[[str], None]

    def run(self) -> Outcome:
        """Open the request, or bring it up to date.

        Raises:
            BotError: it cannot be done; nothing half done is left behind.
        """
        options = self.options
        self.tell(f"asking {self.place.host} about {self.place.slug}")
        base = self._base(self.forge.repository())
        requests = self.forge.requests(options.branch)
        current = next((request for request in requests if request.state is State.OPEN), None)
        declined = next((request for request in requests if request.state is State.CLOSED), None)
        if current is not None and current.base != base:
            raise BotError(
                f"request {current.number} from {options.branch} goes to {current.base}, not to {base}",
                "Name another branch with --branch, or that base with --base.",
            )
        if current is None and declined is not None:
            reason = f"request {declined.number} was closed, and is not opened again; --branch NAME would make another"
            return Outcome(Operation.DECLINED, reason, options.branch, base, request=declined)
        return self._worked(base, current)

    def _base(self, repository: Repository) -> str:
        """The branch that the request goes to, if there may be a request."""
        name = self.place.slug
        if repository.archived:
            raise BotError(f"{name} is archived: nothing can be pushed to it")
        if repository.parent and not self.options.allow_fork:
            raise BotError(
                f"{name} is a fork of {repository.parent}: a request would stay in the fork",
                "Run it for the other one, or say --allow-fork.",
            )
        if repository.can_push is False and not self.options.dry_run:
            raise BotError(
                f"the token may not push to {name}",
                "It needs the right to write contents and pull requests. A workflow of a fork never has it.",
            )
        base = self.options.base or repository.default_branch
        if not base:
            raise BotError(f"{name} has no default branch: is it empty?", "Name the base with --base.")
        if base == self.options.branch:
            raise BotError(f"{base} is the base: the request needs a branch of its own", "Name it with --branch.")
        return base

    def _worked(self, base: str, current: Request | None) -> Outcome:
        options, url = self.options, self.place.git_url
        git = Git(self.folder, self.place, self.secret, self.tell)
        git.check()
        scratch = Scratch(git)
        commits = Commits(git, scratch, self.place)
        heads = self._heads(git, scratch, base)
        git.init(heads[base])
        self.tell(f"fetching {base}")
        scratch.fetch(url, list(heads.values()), list(heads))
        tip = heads.get(options.branch, "")
        parent = commits.parent_of_ours(tip) if tip else ""
        if tip and not parent:
            reason = f"{options.branch} has commits that are not ours, and stays as it is"
            return Outcome(Operation.LEFT_ALONE, reason, options.branch, base, tip, current)

        scratch.lay_out(heads[base])
        self.tell("rewriting")
        words = words_for(self.folder, options.arguments)
        report = rewritten(self.folder, words)
        tree = scratch.tree([helper["path"] for helper in report["helpers"] if helper["new"]])
        if not scratch.changes(heads[base], tree):
            return Outcome(Operation.NOTHING, _nothing(report, current), options.branch, base, request=current)
        is_there = bool(tip) and commits.is_same_change(tip, parent, heads[base], tree)
        if is_there and current is None:  # whatever became of the branch, a new request begins at the base as it is
            is_there = parent == heads[base]
        elif is_there:
            is_there = history.holds(git, url, base=base, tip=heads[base], branch=options.branch, commit=parent)
        commit = tip
        if not is_there:
            identity = options.identity or Identity("xf2sdpa", "xf2sdpa@localhost")
            commit = commits.make(tree, heads[base], message(options, identity, report), identity, options.signing)
        naming = scratch.naming(tree, "xformers")
        text = self._text(body.Material(report, self.place, heads[base], naming, options, self.own, words), current)
        outcome = Outcome(Operation.UNCHANGED, "the request says it all already", options.branch, base, commit, current)
        if options.dry_run:
            outcome.operation = Operation.PLANNED
            outcome.reason = "nothing was pushed, and no request opened or changed"
            outcome.plan = self._plan(git, scratch, outcome, text, pushes=not is_there)
            return outcome
        if not is_there:
            self.tell(f"pushing {options.branch}")
            commits.push(commit, options.branch, tip)
            outcome.operation, outcome.reason = Operation.UPDATED, "the branch was brought up to date"
        self._ask(outcome, text)
        return outcome

    def _heads(self, git: Git, scratch: Scratch, base: str) -> dict[str, str]:
        """The commits that the base is at, and our branch, if there is one."""
        branch = self.options.branch
        for name in (base, branch):
            _check_name(git, name)
        above = _above(branch)
        heads = scratch.heads(self.place.git_url, [base, branch, *above])
        if base not in heads:
            raise BotError(f"{self.place.slug} has no branch {base}")
        if taken := next((name for name in above if name in heads), ""):
            raise BotError(f"{branch} cannot be made: there is a branch {taken}", "Choose another name with --branch.")
        return heads

    def _text(self, material: body.Material, current: Request | None) -> str:
        """The text, as long as what people wrote into the request leaves room for; empty if it leaves none."""
        old = _with(current, "") if current else ""
        room = min(self.forge.most - body.kept(old), self.forge.limit)
        if room < body.LEAST:
            return ""
        # Its links lead to a commit of the base: where all else stays as it is, so do they.
        for commit in (body.linked(old), material.commit):
            text = body.render(replace(material, commit=commit), room)
            if current and _with(current, text) == old:
                break
        return text

    def _ask(self, outcome: Outcome, text: str) -> None:
        """Open the request, or give the open one its new text."""
        if outcome.request is None:
            self.tell("opening the request")
            outcome.request = self._opened(
                NewRequest(outcome.branch, outcome.base, self.options.title, text, self.options.draft)
            )
            outcome.operation, outcome.reason = Operation.CREATED, "the request was opened"
            self._decorate(outcome)
            return
        if not text:
            said = "the request's text was not brought up to date: what people wrote leaves no room"
            outcome.warnings.append(said)
            return
        wanted = _with(outcome.request, text)
        if wanted != _with(outcome.request, ""):
            self.forge.rewrite_body(outcome.request, wanted)
            if outcome.operation is Operation.UNCHANGED:
                outcome.operation, outcome.reason = Operation.UPDATED, "the request's text was brought up to date"

    def _opened(self, new: NewRequest) -> Request:
        """The request, opened once: where it is not known whether it was, that is looked up before trying again."""
        tries = 0
        while True:
            try:
                return self.forge.open(new)
            except ForgeError as error:
                if error.is_unsure or error.status in (409, 422):
                    found = [request for request in self.forge.requests(new.branch) if request.state is State.OPEN]
                    if found:
                        return found[0]
                if not (error.is_unsure and pause(tries)):
                    raise
                tries += 1

    def _decorate(self, outcome: Outcome) -> None:
        """Labels and reviewers: without them the request is one all the same."""
        request = outcome.request
        if request is None:
            return
        for what, names, do in (
            ("labels", self.options.labels, self.forge.label),
            ("reviewers", self.options.reviewers, self.forge.ask_for_review),
        ):
            if names:
                try:
                    do(request, names)
                except BotError as error:
                    outcome.warnings.append(f"{what} {', '.join(names)} were not set: {error.message}")

    def _plan(self, git: Git, scratch: Scratch, outcome: Outcome, text: str, *, pushes: bool) -> str:
        """What would be done, all of it."""
        options, request = self.options, outcome.request
        made = git.run("cat-file", "commit", outcome.commit).decode("utf-8", "replace")
        asks = f"change request {request.number}" if request else f"open a {'draft ' if options.draft else ''}request"
        lines = [
            f"repository: {self.place.root}/{self.place.slug} ({self.place.forge}, {self.place.api})",
            f"would push: {outcome.commit} to {outcome.branch}" if pushes else f"{outcome.branch} is up to date",
            f"would {asks}: {outcome.branch} -> {outcome.base}",
            f"title: {options.title}",
            f"labels: {', '.join(options.labels) or '-'}; reviewers: {', '.join(options.reviewers) or '-'}",
        ]
        sections = {
            "the commit": made,
            "the diff": scratch.difference(f"{outcome.commit}^", outcome.commit),
            "the text": _with(request, text) if request else text,
        }
        return "\n".join([*lines, *(f"\n--- {name} ---\n{shown.rstrip()}" for name, shown in sections.items())]) + "\n"


def _with(request: Request, text: str) -> str:
    """The whole text of a request, with ours in it; as it is, if there is none of ours."""
    old = request.body.replace("\r\n", "\n")  # as a browser sends it
    return body.merged(old, text) if text else old


def message(options: RequestOptions, identity: Identity, report: dict[str, Any]) -> str:
    """The commit's message: nothing in it comes from the repository, for a forge acts on what it reads there."""
    totals = report["totals"]
    counts = ", ".join(
        f"{totals[kind]} {kind}" for kind in ("exact", "assumed", "compat", "removed", "left") if totals[kind]
    )
    tool = f"`xf2sdpa rewrite` {report['tool']['version']}"
    said = f"Calls by class: {counts}. Made by {tool}." if counts else f"Made by {tool}."
    signed = f"\n\nSigned-off-by: {identity.name} <{identity.email}>" if options.signoff else ""
    return f"{options.title}\n\n{said}{signed}"


def _nothing(report: dict[str, Any], current: Request | None) -> str:
    failed = sum(any(finding["error"] for finding in file["findings"]) for file in report["files"])
    said = "nothing is to be rewritten"
    if failed:
        said += f", and {failed} {'file' if failed == 1 else 'files'} could not be worked on"
    return f"{said}; request {current.number} is open and may be closed" if current else said


def _above(branch: str) -> list[str]:
    """The names that no branch may have besides this one: git keeps branches as files in folders."""
    parts = branch.split("/")
    return ["/".join(parts[:number]) for number in range(1, len(parts))]


def _check_name(git: Git, name: str) -> None:
    """Refuse what git would not take for a branch, and what it might take for something else."""
    try:
        if name.startswith("-"):
            raise BotError("")
        git.run("check-ref-format", f"refs/heads/{name}")
    except BotError:
        raise BotError(f"{name} is no name for a branch") from None
