"""Users of a broker with their rights, and connections as them."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlsplit

import leveret
from leveret import Rabbit
from tests.brokers import Broker

EVERYTHING: Final = {"configure": ".*", "write": ".*", "read": ".*"}
PASSWORD: Final = "secret"


class Users:
    """Makes users on a broker, all with the same password, and connects as them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def add(self, name: str, **rights: str) -> str:
        """A user with these rights, else with all; returns the URL that logs in as it."""
        self._broker.add_user(name, PASSWORD, **{**EVERYTHING, **rights})
        return self.url(name)

    def url(self, name: str, password: str = PASSWORD) -> str:
        """The broker's URL as this user."""
        parts = urlsplit(self._broker.url)
        at = parts.netloc.rpartition("@")[2]
        netloc = f"{quote(name, safe='')}:{quote(password, safe='')}@{at}"
        return parts._replace(netloc=netloc).geturl()

    def connect(self, user: str, **options: Any) -> Rabbit:
        """A connection of a new user with all rights."""
        return leveret.connect(self.add(user), **options)
