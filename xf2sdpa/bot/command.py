"""The command `xf2sdpa pr`: options in, exit status out."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xf2sdpa.bot.model import BRANCH, TITLE, BotError, Identity, Operation, Outcome, RequestOptions, Signing
from xf2sdpa.console import give_up, say
from xf2sdpa.files.plain import plain, plain_json

# Imports where they are needed: `--help` needs none of them.
# ruff: noqa: PLC0415

if TYPE_CHECKING:
    from xf2sdpa.bot.forges.base import Forge
    from xf2sdpa.bot.propose import Bot
    from xf2sdpa.bot.remotes import Place
    from xf2sdpa.bot.secret import Secret

_OF_ACTIONS = Identity("github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com")
_OWN_WORDS = ("remote", "forge", "api", "base", "branch")
"""Options that are needed again to bring a request up to date."""


@click.command("pr", short_help="Open a pull request with the rewrite, or update it.")
@click.argument("arguments", nargs=-1, metavar="[-- REWRITE OPTIONS AND PATHS]")
@click.option("--remote", default="origin", show_default=True, metavar="NAME|URL", help="Which repository it is for.")
@click.option("--forge", type=click.Choice(["github", "gitlab", "gitea"]), help="What the remote's host runs.")
@click.option("--api", default="", metavar="URL", help="Where the forge's API begins, such as https://HOST/api/v3.")
@click.option("--base", default="", metavar="BRANCH", help="Where the request goes; else the default branch.")
@click.option("--branch", default=BRANCH, show_default=True, metavar="BRANCH", help="Where it comes from.")
@click.option("--title", default=TITLE, metavar="TEXT", help="Of the request, and of its commit.")
@click.option("--draft", is_flag=True, help="Open it as a draft.")
@click.option("--label", "labels", multiple=True, metavar="NAME", help="Of a new request; may be repeated.")
@click.option("--reviewer", "reviewers", multiple=True, metavar="NAME", help="A person, or a team as org/team.")
@click.option("--author", default="", metavar="'NAME <MAIL>'", help="Of the commit; else who git says you are.")
@click.option("--sign", "key", default="", metavar="KEY", help="Sign the commit with this key.")
@click.option("--sign-format", default="openpgp", type=click.Choice(["openpgp", "ssh", "x509"]), help="Of that key.")
@click.option("--signoff", is_flag=True, help="Add a Signed-off-by line to the commit.")
@click.option("--allow-fork", is_flag=True, help="Make a request inside a fork.")
@click.option(
    "--verify-report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A JSON report of `xf2sdpa verify`, to go into the request's text.",
)
@click.option("--dry-run", is_flag=True, help="Push nothing, open nothing; print all that would be.")
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--quiet", "-q", is_flag=True, help="Print no progress.")
def command(arguments: tuple[str, ...], **options: Any) -> None:
    """Open a pull request with the rewrite of a repository, or bring the one that is open up to date.

    The repository is that of the remote; the working copy here is neither read, save for that address, nor changed.
    The token comes from GITHUB_TOKEN, GITLAB_TOKEN or GITEA_TOKEN, or from git's credential helpers.

    A request that a person closed is not opened again, a branch that a person has worked on stays as it is, and where
    there is nothing to rewrite nothing is opened: each ends with status 0 and is told. Status 2: it could not be done.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="xf2sdpa-") as place:
            outcome = _bot(arguments, options, Path(place).resolve()).run()
    except BotError as error:
        give_up(error.message, error.advice)
    for warning in outcome.warnings:
        say(f"xf2sdpa: warning: {plain(warning)}")
    sys.stdout.write(_told(outcome, options["output_format"]))
    sys.stdout.flush()


def _bot(arguments: tuple[str, ...], options: dict[str, Any], folder: Path) -> Bot:
    from xf2sdpa.bot import secret
    from xf2sdpa.bot.git import ask_helpers
    from xf2sdpa.bot.propose import Bot
    from xf2sdpa.bot.remotes import place_of
    from xf2sdpa.bot.rewriting import checked

    checked(arguments)
    work, empty = folder / "work", folder / "empty"
    work.mkdir()
    empty.mkdir()
    place = place_of(_address(options["remote"]), os.environ, forge=options["forge"] or "", api=options["api"])
    token = secret.find(place, os.environ, lambda asked: ask_helpers(asked, empty))
    if token is None and not options["dry_run"]:
        raise BotError(
            f"there is no token for {place.host}",
            f"Set {' or '.join(secret.VARIABLES[place.forge])}, or let a credential helper of git's know one.",
        )
    tell = _silent if options["quiet"] else _tell
    forge = _forge(place, token, tell)
    return Bot(place, forge, token, _asked(arguments, options, empty), _own(options), work, tell)


def _forge(place: Place, token: Secret | None, tell: Callable[[str], None]) -> Forge:
    from xf2sdpa.bot.forges import gitea, github, gitlab
    from xf2sdpa.bot.web import Client

    known: dict[str, tuple[Callable[[str], dict[str, str]], Callable[[Client, str], Forge]]] = {
        "github": (github.headers, github.GitHub),
        "gitlab": (gitlab.headers, gitlab.GitLab),
        "gitea": (gitea.headers, gitea.Gitea),
    }
    headers, kind = known[place.forge]
    return kind(Client(place.api, headers(token.reveal() if token else ""), token, tell), place.slug)


def _asked(arguments: tuple[str, ...], options: dict[str, Any], folder: Path) -> RequestOptions:
    from xf2sdpa.bot.git import of_the_user

    signing = None
    if options["key"]:
        kind = options["sign_format"]
        program = of_the_user(folder, "gpg.program" if kind == "openpgp" else f"gpg.{kind}.program")
        signing = Signing(kind, options["key"], program)
    title = " ".join(options["title"].split())
    if not title:
        raise BotError("--title is empty")
    return RequestOptions(
        **{name: options[name] for name in ("base", "branch", "draft", "signoff", "allow_fork", "dry_run")},
        title=title,
        labels=options["labels"],
        reviewers=options["reviewers"],
        identity=_identity(options["author"], folder, dry_run=options["dry_run"]),
        signing=signing,
        verified=_verified(options["verify_report"]),
        arguments=arguments,
    )


def _identity(author: str, folder: Path, *, dry_run: bool) -> Identity | None:
    """Who the commit is by: as asked, as git knows the user, or the bot of GitHub's runners."""
    from xf2sdpa.bot.git import of_the_user

    if author:
        match = re.fullmatch(r"\s*([^<>\n]+?)\s*<([^<>\s]+)>\s*", author)
        if match is None:
            raise BotError("--author is not written as 'NAME <MAIL>'")
        return Identity(match[1], match[2])
    name, email = of_the_user(folder, "user.name"), of_the_user(folder, "user.email")
    if name and email:
        return Identity(name, email)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        return _OF_ACTIONS
    if dry_run:
        return None
    raise BotError(
        "who the commit is by is not known", "Say --author 'NAME <MAIL>', or set git's user.name and user.email."
    )


def _verified(file: Path | None) -> Callable[[int], str] | None:
    """What makes Markdown of a report of `xf2sdpa verify`."""
    if file is None:
        return None
    from xf2sdpa.verify.report import json as reports
    from xf2sdpa.verify.report import markdown

    try:
        report = reports.load(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BotError(f"--verify-report {file}: {error}") from None
    return lambda limit: markdown.render(report, limit=limit)


def _address(remote: str) -> str:
    """The address that a remote stands for: it is read from the repository here, and nothing else of that."""
    if ":" in remote:
        return remote
    from xf2sdpa.files.git import git_output

    printed = git_output(".", "config", "--no-includes", "--get", f"remote.{remote}.url")
    if not printed:
        raise BotError(f"there is no remote {remote} here", "Name the repository: --remote https://HOST/OWNER/NAME.")
    return os.fsdecode(printed).strip()


def _own(options: dict[str, Any]) -> list[str]:
    """The command line that brings the request up to date; addresses without a name and password in them."""
    words = ["xf2sdpa", "pr"]
    for name in _OWN_WORDS:
        value = options[name]
        if value and value != {"remote": "origin", "branch": BRANCH}.get(name):
            words += [f"--{name}", re.sub(r"(?<=//)[^/]*@", "", value)]
    return words


def _tell(line: str) -> None:
    say(f"xf2sdpa: {plain(line)}")


def _silent(_: str) -> None:
    pass


def _told(outcome: Outcome, output_format: str) -> str:
    request = outcome.request
    if output_format == "json":
        document = {
            "operation": outcome.operation.value,
            "reason": outcome.reason,
            "number": request.number if request else None,
            "url": request.url if request else None,
            "branch": outcome.branch,
            "base": outcome.base,
            "commit": outcome.commit or None,
            "warnings": outcome.warnings,
            "plan": outcome.plan or None,
        }
        return plain_json(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"
    from xf2sdpa.report.shown import plain_code

    lines = [plain_code(line) for line in outcome.plan.split("\n")[:-1]]
    where = f" {request.url}" if request and outcome.operation is not Operation.PLANNED else ""
    lines.append(plain(f"{outcome.operation.value}: {outcome.reason}{where}"))
    return "\n".join(lines) + "\n"
