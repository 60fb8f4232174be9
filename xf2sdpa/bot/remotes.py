"""Where a repository is: what the address of a remote says, held against the one host that is to be talked to.

The address comes from a repository's configuration, which may be anybody's. A token goes only to a forge that is known
by its host, that the CI service names, or that the user names with `--api`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

from xf2sdpa.bot.model import BotError

FORGES = ("github", "gitlab", "gitea")
_KNOWN = {
    "github.com": ("github", "https://api.github.com"),
    "gitlab.com": ("gitlab", "https://gitlab.com/api/v4"),
    "codeberg.org": ("gitea", "https://codeberg.org/api/v1"),
    "gitea.com": ("gitea", "https://gitea.com/api/v1"),
}
_SUFFIX = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1"}
_SSH_HOSTS = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_PART = re.compile(r"[A-Za-z0-9_.-]+")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:]+\](:\d+)?")


@dataclass(frozen=True)
class Place:
    """A repository on a forge.

    Attributes:
        forge: its kind: github, gitlab or gitea (Forgejo as well).
        root: where its pages begin, without a slash at the end.
        api: where its API begins, without a slash at the end.
        slug: the repository, as `owner/name`; GitLab has longer ones.
    """

    forge: str
    root: str
    api: str
    slug: str

    @property
    def git_url(self) -> str:
        """What git fetches from and pushes to; there is no name or password in it."""
        return f"{self.root}/{self.slug}.git"

    @property
    def host(self) -> str:
        """The host, with a port if there is one."""
        return urlsplit(self.root).netloc

    def blob(self, commit: str, path: str, line: int) -> str:
        """The page of a file at a commit, at a line or, for 0, as a whole; the path is encoded."""
        between = {"github": "blob", "gitlab": "-/blob", "gitea": "src/commit"}[self.forge]
        name = quote(path, safe="/", errors="surrogateescape")
        return f"{self.root}/{self.slug}/{between}/{commit}/{name}" + (f"#L{line}" if line else "")


@dataclass(frozen=True)
class _Remote:
    host: str
    path: str
    is_ssh: bool


def place_of(remote: str, environment: Mapping[str, str], *, forge: str = "", api: str = "") -> Place:
    """The place that a remote's address means.

    Args:
        remote: an address as git takes it: https, ssh, or `user@host:path`.
        environment: of the process; on a CI service it names the forge.
        forge: the kind of forge, if the user says it.
        api: where its API begins, if the user says it.

    Raises:
        BotError: the address is none of a forge, or of another host than the one that is meant.
    """
    parsed = _parsed(remote)
    if api:
        forge, root = _named(forge, api)
    else:
        forge, root, api = _found(parsed, environment, forge)
    for address in (root, api):
        _refuse_in_clear(address)
    own = urlsplit(root)
    meant = _named_host(own) if parsed.is_ssh else own.netloc
    if parsed.host != meant.lower():
        raise BotError(
            f"the remote is on {parsed.host}, the API on {own.netloc}: a token for one host does not go to another"
        )
    slug = _slug(parsed.path, own.path)
    return Place(forge, root, api.rstrip("/"), slug)


def _named_host(split: SplitResult) -> str:
    """The host of an address without its port; one of IPv6 in brackets, as it stands there."""
    host = split.hostname or ""
    return f"[{host}]" if ":" in host else host


def _parsed(remote: str) -> _Remote:
    if "://" in remote:
        try:
            split = urlsplit(remote)
            port, host = split.port, _named_host(split)
        except ValueError:
            split, port, host = urlsplit(""), None, ""
        if split.scheme in ("https", "http", "ssh", "git+ssh") and _HOST.fullmatch(host):
            is_ssh = "ssh" in split.scheme
            host = _SSH_HOSTS.get(host, host) if is_ssh or port is None else f"{host}:{port}"
            return _Remote(host.lower(), split.path, is_ssh)
    else:
        match = re.fullmatch(r"(?:[A-Za-z0-9_.-]+@)?([A-Za-z0-9.-]+):(?!//)(.+)", remote)
        if match and "/" in match[2]:
            return _Remote(_SSH_HOSTS.get(match[1].lower(), match[1].lower()), match[2], is_ssh=True)
    raise BotError(
        "the remote is no https or ssh address of a forge", "Name one: --remote https://HOST/OWNER/NAME, or a remote."
    )


def _named(forge: str, api: str) -> tuple[str, str]:
    """The kind of forge, and where its pages begin, for an API that the user names."""
    split = urlsplit(api.rstrip("/"))
    if split.scheme not in ("https", "http") or not _HOST.fullmatch(split.netloc) or split.query or split.fragment:
        raise BotError(f"--api {api} is no address of an API", "Such as https://git.example.com/api/v3.")
    by_suffix = [kind for kind, suffix in _SUFFIX.items() if split.path.endswith(suffix)]
    if not forge:
        known = [kind for kind, address in _KNOWN.values() if address == api.rstrip("/")]
        forge = next(iter(known + by_suffix), "")
    if not forge:
        raise BotError("what kind of forge --api belongs to cannot be told", f"Say --forge {'|'.join(FORGES)}.")
    host, path = split.netloc, split.path.removesuffix(_SUFFIX[forge])
    if path == split.path and host.startswith("api."):
        host, path = host.removeprefix("api."), ""
    return forge, f"{split.scheme}://{host}{path.rstrip('/')}"


def _found(remote: _Remote, environment: Mapping[str, str], forge: str) -> tuple[str, str, str]:
    """The kind of forge, where its pages and where its API begin, for a host that is known."""
    if remote.host in _KNOWN and forge in ("", _KNOWN[remote.host][0]):
        kind, api = _KNOWN[remote.host]
        return kind, f"https://{remote.host}", api
    server = environment.get("GITHUB_SERVER_URL", "").rstrip("/")
    if _is_on(server, remote) and environment.get("GITHUB_API_URL"):
        is_gitea = environment.get("GITEA_ACTIONS") or environment.get("FORGEJO_ACTIONS")
        return forge or ("gitea" if is_gitea else "github"), server, environment["GITHUB_API_URL"]
    server = environment.get("CI_SERVER_URL", "").rstrip("/")
    if _is_on(server, remote):
        return forge or "gitlab", server, environment.get("CI_API_V4_URL") or f"{server}/api/v4"
    raise BotError(
        f"what {remote.host} is, and whether it may have the token, is not known",
        f"Name its API: --api https://{remote.host}/api/v3 (GitHub Enterprise), /api/v4 (GitLab), /api/v1 (Gitea).",
    )


def _is_on(server: str, remote: _Remote) -> bool:
    split = urlsplit(server)
    return bool(server) and remote.host in (
        _named_host(split).lower() if remote.is_ssh else "",
        split.netloc.lower(),
    )


def _refuse_in_clear(address: str) -> None:
    split = urlsplit(address)
    if split.scheme != "https" and not (split.scheme == "http" and split.hostname in _LOOPBACK):
        raise BotError(f"{split.scheme}://{split.netloc} would carry the token in the clear", "Use https.")


def _slug(path: str, root: str) -> str:
    """The repository's name, out of the path of its address."""
    name = path.strip("/")
    prefix = root.strip("/")
    if prefix and name.startswith(f"{prefix}/"):
        name = name[len(prefix) + 1 :]
    parts = name.removesuffix(".git").split("/")
    if len(parts) < 2 or not all(_PART.fullmatch(part) and part.strip(".") for part in parts):
        raise BotError("the remote's address names no repository", "It ends with OWNER/NAME.")
    return "/".join(parts)
