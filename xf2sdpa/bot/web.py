"""Talking to a forge's API: one host, no redirects, and a bound to every wait.

On `urllib`: there are a handful of requests to make, and the libraries for them bring more than is used here (a
session, redirects that carry the token along, retries without a bound).
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from time import sleep
from time import time as now
from typing import Any
from urllib.parse import urlencode, urlsplit

from xf2sdpa import __version__
from xf2sdpa.bot.model import BotError
from xf2sdpa.bot.secret import Secret
from xf2sdpa.files.plain import plain

PAUSES = (1.0, 2.0, 4.0)
"""Seconds before a request is made again, where the forge or the way to it failed."""
PATIENCE = 120.0
"""Seconds that all waits for a rate limit may take together."""
_SECONDS = 60
_MOST = 32_000_000
"""Bytes that are read of an answer."""
_TOLD = 300


_ADVICE = {
    401: "Is the token for this host, and has it not run out?",
    403: "May the token do that? It needs the right to write contents and pull requests.",
    404: "Is the name right, and may the token see it?",
}


def pause(number: int) -> bool:
    """Wait before trying again; False if it was tried often enough."""
    if number >= len(PAUSES):
        return False
    sleep(PAUSES[number])
    return True


class ForgeError(BotError):
    """What a forge answered instead of doing it.

    Attributes:
        status: of the answer; 0 where none came, so that nobody knows whether it was done.
        said: what the forge says about it.
    """

    def __init__(self, message: str, status: int, said: str = "", advice: str = "") -> None:
        super().__init__(message, advice)
        self.status = status
        self.said = said

    @property
    def is_unsure(self) -> bool:
        """Whether it may have been done all the same."""
        return self.status == 0 or self.status >= 500


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token goes where it was sent, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none: urllib then raises the answer as an error."""


class Client:
    """Makes requests to one API."""

    def __init__(
        self,
        api: str,
        headers: Mapping[str, str],
        secret: Secret | None,
        tell: Callable[[str], None],
    ) -> None:
        """Talk to the API at an address.

        Args:
            api: where it begins; every request goes below it.
            headers: that every request has; they hold the token.
            secret: the token, to keep it out of what is told.
            tell: prints a line about a wait.
        """
        self.api = api
        self._headers = {"Accept": "application/json", "User-Agent": f"xf2sdpa/{__version__}", **headers}
        self._secret = secret
        self._tell = tell
        self._patience = PATIENCE
        # Plain http is for this machine itself: a proxy, which the environment may name, would be somebody else.
        proxies = [urllib.request.ProxyHandler({})] if urlsplit(api).scheme == "http" else []
        self._open = urllib.request.build_opener(_NoRedirects(), *proxies).open

    def get(self, path: str, **query: str | int) -> Any:
        """What is at a path.

        Raises:
            ForgeError: anything but success, after it was tried again where that may help.
        """
        return self._made("GET", path + (f"?{urlencode(query)}" if query else ""), None, again=True)

    def post(self, path: str, body: Mapping[str, Any], *, again: bool = False) -> Any:
        """Make something at a path; not tried again where it may have been made, unless twice is as good as once."""
        return self._made("POST", path, body, again=again)

    def change(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        """Change what is at a path, by PATCH or PUT."""
        return self._made(method, path, body, again=True)

    def _made(self, method: str, path: str, body: Mapping[str, Any] | None, *, again: bool) -> Any:
        number = 0
        while True:
            try:
                return self._once(method, path, body)
            except urllib.error.HTTPError as answer:
                with answer:
                    error = self._refused(method, path, answer)
                    wait = self._rate_limit(answer)
                if wait is not None:
                    self._wait_for_the_limit(wait, error)
                    continue
                if not (again and error.status >= 500 and pause(number)):
                    raise error from None
            except (OSError, http.client.HTTPException) as failure:
                error = ForgeError(f"{method} {self._shown(path)}: no answer: {self._shown(str(failure))}", 0)
                if not (again and pause(number)):
                    raise error from None
            number += 1
            self._tell(f"{error.message}; trying again")

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers if data is None else {**self._headers, "Content-Type": "application/json"}
        request = urllib.request.Request(self.api + path, data, dict(headers), method=method)
        with self._open(request, timeout=_SECONDS) as answer:
            read = answer.read(_MOST + 1)
            is_cut_off = bool(answer.length)
        if len(read) > _MOST:
            raise ForgeError(f"{method} {self._shown(path)}: the answer does not end", 200)
        if is_cut_off:
            raise http.client.IncompleteRead(b"")
        try:
            return json.loads(read) if read.strip() else None
        except ValueError:
            raise ForgeError(
                f"{method} {self._shown(path)}: the answer is no JSON", 200, advice=f"Is {self.api} the API?"
            ) from None

    def _refused(self, method: str, path: str, answer: urllib.error.HTTPError) -> ForgeError:
        said = self._said(answer)
        message = f"{method} {self._shown(path)}: {answer.code} {self._shown(said or str(answer.reason))}"
        if 300 <= answer.code < 400:
            return ForgeError(
                f"{method} {self._shown(path)}: {answer.code}: the forge sends us elsewhere, and we do not go",
                answer.code,
                advice="Has the repository been renamed or moved? Then name it by its new name.",
            )
        return ForgeError(message, answer.code, said, _ADVICE.get(answer.code, ""))

    def _said(self, answer: urllib.error.HTTPError) -> str:
        """What the forge says is wrong: its message and the details below it."""
        try:
            told = json.loads(answer.read(_MOST))
        except (ValueError, OSError, http.client.HTTPException):
            return ""
        return "; ".join(_sentences(told))

    def _shown(self, text: str) -> str:
        hidden = self._secret.hidden_in(text) if self._secret else text
        return plain(" ".join(hidden.split()))[:_TOLD]

    def _rate_limit(self, answer: urllib.error.HTTPError) -> float | None:
        """Seconds to wait where a rate limit is the reason; None where it is not."""
        if answer.code not in (403, 429):
            return None
        after = answer.headers.get("Retry-After", "")
        if _is_number(after):
            return float(after)
        for kind in ("X-RateLimit", "RateLimit"):
            reset = answer.headers.get(f"{kind}-Reset", "")
            if answer.headers.get(f"{kind}-Remaining") == "0" and _is_number(reset):
                return max(0.0, float(reset) - now()) + 1
        return 60.0 if answer.code == 429 else None

    def _wait_for_the_limit(self, seconds: float, error: ForgeError) -> None:
        if seconds > self._patience:
            raise ForgeError(
                f"{error.message} (a rate limit that ends in {seconds:.0f} s)",
                error.status,
                advice="Run again then; what was done already is found again.",
            ) from None
        self._patience -= max(1.0, seconds)
        self._tell(f"waiting {seconds:.0f} s for the forge's rate limit")
        sleep(seconds)


def _is_number(said: str) -> bool:
    """Whether a header is a number of seconds that can be: `isdigit` alone takes a superscript for one."""
    return said.isascii() and said.isdigit() and len(said) < 16


def _sentences(told: Any, depth: int = 4) -> list[str]:
    """What an error's document says, in the forms that forges use: message, error, errors, or lists by field."""
    if isinstance(told, str):
        return [told]
    if depth == 0 or not isinstance(told, (list, dict)):
        return []
    if isinstance(told, list):
        return [sentence for item in told[:5] for sentence in _sentences(item, depth - 1)]
    if isinstance(told.get("code"), str) and not told.get("message"):
        return [" ".join(str(told[key]) for key in ("resource", "field", "code") if key in told)]
    kept = [told[key] for key in ("message", "error", "errors") if key in told]
    return [sentence for item in (kept or list(told.values())[:5]) for sentence in _sentences(item, depth - 1)]
