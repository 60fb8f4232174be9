"""The token: where it comes from, and that it is never seen.

It comes from the environment or from git's credential helpers. It goes to the forge in a header, and to git in its
environment: not on a command line, not into an address, not into a file.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from urllib.parse import quote, quote_plus

from xf2sdpa.bot.model import BotError
from xf2sdpa.bot.remotes import Place

VARIABLES = {
    "github": ("GITHUB_TOKEN", "GH_TOKEN"),
    "gitlab": ("GITLAB_TOKEN",),
    "gitea": ("GITEA_TOKEN", "FORGEJO_TOKEN"),
}
"""Where the token of each kind of forge is looked for, in this order."""
_USERS = {"github": "x-access-token", "gitlab": "oauth2", "gitea": "oauth2"}
"""The name that goes with a token where git wants a name and a password."""


class Secret:
    """A token that does not show itself when it is printed."""

    __slots__ = ("_user", "_value")

    def __init__(self, value: str, user: str) -> None:
        if not value.isascii() or not value.isprintable() or " " in value:
            raise BotError("the token holds characters that no token has")
        self._value = value
        self._user = user

    def __repr__(self) -> str:
        return "Secret(***)"

    def reveal(self) -> str:
        """The token."""
        return self._value

    def basic(self) -> str:
        """Name and token as HTTP's basic authentication has them."""
        return base64.b64encode(f"{self._user}:{self._value}".encode()).decode()

    def hidden_in(self, text: str) -> str:
        """A text in which the token does not stand any more, however it was spelled."""
        for spelt in (self.basic(), self._value, quote(self._value, safe=""), quote_plus(self._value)):
            text = text.replace(spelt, "***")
        return text


def find(
    place: Place, environment: Mapping[str, str], ask_helpers: Callable[[Place], tuple[str, str] | None]
) -> Secret | None:
    """The token for a place; None if there is none.

    Args:
        place: what it is for.
        environment: variables of the process.
        ask_helpers: asks git's credential helpers for a name and a password.
    """
    for name in VARIABLES[place.forge]:
        if value := environment.get(name, "").strip():
            return Secret(value, _USERS[place.forge])
    answer = ask_helpers(place)
    if answer is None or not answer[1]:
        return None
    user, value = answer
    return Secret(value, user or _USERS[place.forge])
