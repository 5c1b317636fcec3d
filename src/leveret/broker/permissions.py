"""Users, and what each may do in a vhost. Pure.

https://www.rabbitmq.com/docs/access-control
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

import msgspec

from leveret.broker.refusals import access_refused

Right = Literal["configure", "write", "read"]
_REMEMBERED: Final = 1024
"""How many checks of one connection are remembered."""


class Permissions(msgspec.Struct, frozen=True):
    """What a user may configure, write and read in one vhost: patterns of names."""

    configure: str = ".*"
    """What it may declare and delete."""
    write: str = ".*"
    """What it may publish to, and bind queues in."""
    read: str = ".*"
    """What it may consume, and bind from."""

    def allow(self, right: Right, name: str) -> bool:
        """Whether the user has this right on the exchange or queue of this name.

        The default exchange has the name "amq.default" here.
        """
        return _pattern(getattr(self, right)).search(name or "amq.default") is not None


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user of the broker."""

    password: str
    """In plain text: this broker is for tests."""
    permissions: Mapping[str, Permissions] | None = None
    """By vhost; None for all rights in all vhosts."""
    impersonator: bool = False
    """Whether it may publish with the `user_id` of another user."""
    max_channels: int | None = None
    """How many channels it may have on all its connections together; None for any number
    (https://www.rabbitmq.com/docs/user-limits)."""

    def permissions_in(self, vhost: str) -> Permissions | None:
        """The user's rights in a vhost; None if it may not open it."""
        if self.permissions is None:
            return Permissions()
        return self.permissions.get(vhost)


class Rights:
    """What the user of one connection may do in its vhost. Remembers what it has allowed."""

    def __init__(self, user: str, vhost: str, permissions: Permissions) -> None:
        self._user = user
        self._vhost = vhost
        self._permissions = permissions
        self.writable: set[str] = set()
        """Exchanges that the user may write to, as far as that was checked."""
        self._allowed: set[tuple[Right, str, str]] = set()

    def check(self, right: Right, kind: str, name: str) -> None:
        """:raises Refused: if the user has no such right on the exchange or queue."""
        key = (right, kind, name)
        if key in self._allowed:
            return
        if not self._permissions.allow(right, name if kind == "queue" or name else "amq.default"):
            raise access_refused(
                f"access to {kind} '{name or 'amq.default'}' in vhost '{self._vhost}'"
                f" refused for user '{self._user}'"
            )
        if len(self._allowed) < _REMEMBERED:
            self._allowed.add(key)
            if right == "write" and kind == "exchange":
                self.writable.add(name)


def log_in(users: Mapping[str, User], name: str, password: str) -> User | None:
    """The user of this name; None if there is none or the password is wrong."""
    user = users.get(name)
    given = password.encode("utf-8", "surrogateescape")
    wanted = (user.password if user is not None else "\0nobody").encode("utf-8", "surrogateescape")
    return user if hmac.compare_digest(given, wanted) else None


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    """RabbitMQ searches a name for the pattern; an empty pattern matches only an empty name."""
    return re.compile(text or "^$")
