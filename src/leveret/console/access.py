"""Who may see the console and who may write by it. Pure: it is handed headers.

A browser sends what any page tells it to. So each write must come from a page of the console itself
(`Origin`), a console without log-in answers to the names of its own machine only (DNS rebinding),
and the cookie of a log-in does not go with requests of other sites (`SameSite=Strict`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from leveret.errors import LeveretError

__all__ = ["COOKIE", "LOOPBACK", "SECURITY_HEADERS", "Access", "ReadOnly"]

COOKIE: Final = "leveret_console"
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""The names of this machine, for itself."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

SECURITY_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not "no-referrer": with that, browsers send forms with `Origin: null`.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""What all answers have: nothing from elsewhere, nothing inline, not inside of another page."""


class ReadOnly(LeveretError):
    """The console may not do that."""


class Access(Struct, frozen=True, kw_only=True):
    """How people log in, and whether they may do more than look."""

    token: str = ""
    """What they must know; "" for nothing."""
    user_header: str = ""
    """The header in which a proxy says who it is; "" for none."""
    hosts: tuple[str, ...] = ()
    """The names that the console answers to; any, if there are none."""

    allow_calls: bool = False
    """Whether who may see may also call, cancel, drain, retry and drop."""

    @property
    def is_open(self) -> bool:
        """Whether anybody gets in."""
        return not (self.token or self.user_header)

    def is_right(self, token: str) -> bool:
        """Whether somebody knows the token. It takes as long for a wrong one as for a right one."""
        return bool(self.token) and hmac.compare_digest(token.encode(), self.token.encode())

    @property
    def cookie(self) -> str:
        """What a browser keeps that has logged in. With another token it is worthless."""
        key = self.token.encode()
        return hmac.new(key, b"leveret console, logged in", hashlib.sha256).hexdigest()

    def user_of(self, headers: Mapping[str, str]) -> str | None:
        """Who asks; "" for somebody without a name, None for somebody who must log in."""
        if self.is_open:
            return ""
        if self.user_header and (user := headers.get(self.user_header.lower(), "").strip()):
            return user
        if self.token and hmac.compare_digest(_cookie(headers).encode(), self.cookie.encode()):
            return ""
        return None

    def is_host_known(self, headers: Mapping[str, str]) -> bool:
        """Whether the console answers to the name that it was called by."""
        if not self.hosts:
            return True
        try:
            return urlsplit(f"//{headers.get('host', '')}").hostname in self.hosts
        except ValueError:
            return False

    def check_writable(self) -> None:
        """See that the console may do more than look.

        :raises ReadOnly: if it may not.
        """
        if not self.allow_calls:
            raise ReadOnly("the console only looks: start it with --allow-calls")

    @staticmethod
    def may_write(method: str, headers: Mapping[str, str]) -> bool:
        """Whether a request changes nothing, or comes from a page of the console itself."""
        if method in _SAFE:
            return True
        origin = headers.get("origin", "")
        try:
            return bool(origin) and urlsplit(origin).netloc == headers.get("host", "")
        except ValueError:
            return False


def _cookie(headers: Mapping[str, str]) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
