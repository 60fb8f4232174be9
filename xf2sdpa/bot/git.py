"""Git for writing: in a repository of our own, with nobody's configuration but ours.

`files/git` asks questions of a repository that may be anybody's. Here commits are made and pushed, so nothing of such a
repository may have a say: not its hooks, filters, attributes, aliases or transports, and not the user's configuration
either, which may name a program for any of them. Git is run in a folder made for it, on variables that are let in by
name, and is told of the token in its environment, where only the user's own processes can see it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import urlsplit

from xf2sdpa.bot.model import BotError
from xf2sdpa.bot.remotes import Place
from xf2sdpa.bot.secret import Secret
from xf2sdpa.bot.web import pause
from xf2sdpa.files.plain import plain

_LET_IN = frozenset(
    {
        *("PATH", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "LD_LIBRARY_PATH", "GIT_EXEC_PATH"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"),
    }
)
_FOR_KEYS = frozenset({"HOME", "GNUPGHOME", "GPG_TTY", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR", "USERPROFILE", "APPDATA"})
"""What signing programs need to find a key."""
_OURS = {
    "core.hooksPath": os.devnull,
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.symlinks": "false",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "core.askPass": "",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "init.templateDir": "",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "protocol.https.allow": "always",
    "push.gpgSign": "false",
    "push.recurseSubmodules": "no",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
}
_OLDEST = (2, 31)
"""Since then configuration can be handed over in the environment."""
_STATUS = re.compile(r"returned error: (\d{3})")
_LOST = re.compile(
    r"RPC failed|hung up|early EOF|unexpected disconnect|Empty reply|timed out|reset by peer|Recv failure"
    r"|Failed to connect|Couldn't connect|Could not resolve"
)
_SHA256 = 64
"""Digits of a name by SHA-256; most repositories have SHA-1, and names of 40."""
_HEARTBEAT = 15
"""Seconds after which it is told that git still works."""


class GitError(BotError):
    """Git has refused.

    Attributes:
        said: all that it printed as errors, with no secret in it.
    """

    def __init__(self, message: str, said: str, advice: str = "") -> None:
        super().__init__(message, advice)
        self.said = said


class Git:
    """Runs git in one folder, which is ours."""

    def __init__(self, folder: Path, place: Place, secret: Secret | None, tell: Callable[[str], None]) -> None:
        """Prepare for a place; nothing is run.

        Args:
            folder: a work tree of our own, or one to be.
            place: the only repository that is talked to.
            secret: the token.
            tell: prints a line about work that takes long.
        """
        self.folder = folder
        self._secret = secret
        self._tell = tell
        config = dict(_OURS)
        if urlsplit(place.root).scheme == "http":  # to this machine itself, `remotes` sees to that: by no proxy
            config |= {"protocol.http.allow": "always", "http.proxy": ""}
        self._options = [word for key, value in config.items() for word in ("-c", f"{key}={value}")]
        self._scope = f"{place.root}/"

    def check(self) -> None:
        """See to it that git can do this.

        Raises:
            BotError: git is absent or too old.
        """
        told = self.run("version").decode("utf-8", "replace").split()
        numbers = [int(part) for part in told[2].split(".")[:2] if part.isdigit()] if len(told) > 2 else []
        if tuple(numbers) < _OLDEST:
            raise BotError(f"git {'.'.join(map(str, numbers))} is too old", f"It takes {_OLDEST[0]}.{_OLDEST[1]}.")

    def init(self, like: str = "", *, bare: bool = False, extra: Mapping[str, str] | None = None) -> None:
        """Make a repository; it names its objects as the one that a commit is from, if one is given."""
        options = ["--object-format=sha256"] if len(like) == _SHA256 else []
        options += ["--bare"] if bare else ["--initial-branch=base"]
        self.run("init", "--quiet", "--template=", *options, extra=extra)

    def run(
        self,
        *arguments: str,
        data: bytes = b"",
        extra: Mapping[str, str] | None = None,
        doing: str = "",
        to_forge: bool = False,
        with_keys: bool = False,
    ) -> bytes:
        """What git prints.

        Args:
            arguments: the command and what belongs to it; each is one word, whatever is in it.
            data: its standard input.
            extra: more variables.
            doing: what it does, in words, to tell where it takes long.
            to_forge: whether it needs the token.
            with_keys: whether it signs, and so needs the user's keys.

        Raises:
            GitError: it fails, after it was tried again where that may help; what it says is in there.
        """
        environment = self._environment(to_forge=to_forge, with_keys=with_keys) | dict(extra or {})
        number = 0
        while True:
            try:
                return self._once(arguments, data, environment, doing)
            except GitError as error:
                if not (to_forge and _may_pass(error.said) and pause(number)):
                    raise
                self._tell(f"{error.message}; trying again")
            number += 1

    def _once(self, arguments: Sequence[str], data: bytes, environment: Mapping[str, str], doing: str) -> bytes:
        command = ["git", *self._options, *arguments]
        # A file, no pipe: where `communicate` is asked a second time, it no longer feeds a pipe (seen in Python 3.11).
        with TemporaryFile() as given:
            given.write(data)
            given.seek(0)
            try:
                process = subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env=environment,
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            except OSError as error:
                raise BotError(f"git cannot be run: {error.strerror}") from None
        with process:
            printed, errors = self._waited_for(process, doing)
        if process.returncode:
            said = self._shown(errors.decode("utf-8", "replace"))
            raise GitError(f"git {arguments[0]}: {_first(said)}", said)
        return printed

    def _waited_for(self, process: subprocess.Popen[bytes], doing: str) -> tuple[bytes, bytes]:
        seconds = 0
        try:
            while True:
                try:
                    return process.communicate(timeout=_HEARTBEAT)
                except subprocess.TimeoutExpired:
                    seconds += _HEARTBEAT
                    if doing:
                        self._tell(f"still {doing}, {seconds} s")
        except BaseException:
            process.kill()
            raise

    def _environment(self, *, to_forge: bool, with_keys: bool) -> dict[str, str]:
        let_in = _LET_IN | _FOR_KEYS if with_keys else _LET_IN
        kept = {name: value for name, value in os.environ.items() if name in let_in}
        kept.setdefault("HOME", str(self.folder / ".git"))  # where no file of the repository can be
        kept |= {
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CEILING_DIRECTORIES": str(self.folder.parent),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS": "",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
        }
        if to_forge and self._secret is not None:
            kept |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{self._scope}.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {self._secret.basic()}",
            }
        return kept

    def _shown(self, text: str) -> str:
        hidden = self._secret.hidden_in(text) if self._secret else text
        return "\n".join(map(plain, hidden.splitlines()))


def _may_pass(said: str) -> bool:
    """Whether git failed as the forge did, or the way to it; a push has its lease, so it is never made twice."""
    status = _STATUS.search(said)
    return status[1] == "429" or status[1] >= "500" if status else bool(_LOST.search(said))


def _first(said: str) -> str:
    """The line that says what is wrong."""
    lines = [line for line in said.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0] if lines else "failed")


def ask_helpers(place: Place, folder: Path) -> tuple[str, str] | None:
    """The name and password that git's credential helpers have for a place, None if they have none.

    The helpers are those of the user and the system: git is run in an empty folder, where no repository has a say.
    """
    split = urlsplit(place.git_url)
    asked = f"protocol={split.scheme}\nhost={split.netloc}\npath={split.path.lstrip('/')}\n\n"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SSH_ASKPASS"))}
    environment |= {name: os.environ[name] for name in ("GIT_CONFIG_GLOBAL", "GIT_EXEC_PATH") if name in os.environ}
    environment |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "GCM_INTERACTIVE": "never",
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }
    try:
        done = subprocess.run(
            ["git", "-c", f"core.hooksPath={os.devnull}", "credential", "fill"],
            cwd=folder,
            env=environment,
            input=asked.encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (line.partition("=") for line in done.stdout.decode("utf-8", "replace").splitlines())
    told = {key: value for key, _, value in lines}
    return (told.get("username", ""), told["password"]) if done.returncode == 0 and "password" in told else None


def of_the_user(folder: Path, key: str) -> str:
    """What the user's own configuration says, not a repository's; empty if nothing."""
    environment = {name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_CONFIG")}
    command = ["git", "config", "--global", "--get", key]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    except OSError:
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""
