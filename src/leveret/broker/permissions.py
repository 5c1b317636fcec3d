"""Who may log in, and what a user may do where.

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


class Permissions(msgspec.Struct, frozen=True):
    """What a user may configure, write and read in one vhost: patterns of whole names."""

    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"

    def allow(self, right: Right, name: str) -> bool:
        """Whether the user has this right on the exchange or queue of this name.

        The default exchange goes by "amq.default".
        """
        return _pattern(getattr(self, right)).search(name or "amq.default") is not None


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user; `permissions` by vhost, None for all rights everywhere.

    An `impersonator` may publish under another's `user_id`.
    """

    password: str
    permissions: Mapping[str, Permissions] | None = None
    impersonator: bool = False

    def permissions_in(self, vhost: str) -> Permissions | None:
        """The user's rights in a vhost, None if it may not even enter."""
        if self.permissions is None:
            return Permissions()
        return self.permissions.get(vhost)


class Rights:
    """What the user of one connection may do in its vhost; what was allowed once is remembered.

    `writable` has the exchanges it may publish to, as far as that was asked.
    """

    def __init__(self, user: str, vhost: str, permissions: Permissions) -> None:
        self._user = user
        self._vhost = vhost
        self._permissions = permissions
        self.writable: set[str] = set()
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
    """The user of this name, if the password is right."""
    user = users.get(name)
    given = password.encode("utf-8", "surrogateescape")
    wanted = (user.password if user is not None else "\0nobody").encode("utf-8", "surrogateescape")
    return user if hmac.compare_digest(given, wanted) else None


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    """RabbitMQ matches anywhere in the name, and the empty pattern nothing but an empty name."""
    return re.compile(text or "^$")
