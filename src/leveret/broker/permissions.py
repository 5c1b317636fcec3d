"""Who may log in, and what a user may do where.

https://www.rabbitmq.com/docs/access-control
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

import msgspec

Right = Literal["configure", "write", "read"]


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
