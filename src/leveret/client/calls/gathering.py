"""The answers to a call that every server of a service was asked to run. Pure.

The client knows of a server by the broker's count of consumers, by the server's answer to a ping,
or by anything that the server says of the call. The count has no names, so a missing server may
have no known name. The client waits until all of them have answered, or until no server has said
anything new for the stall time.
"""

from __future__ import annotations

from math import inf
from typing import Final

from leveret.wire.message import Reply

_MOST: Final = 10_000
"""How many servers are told apart, at most: a stranger could answer under any number of names."""


class Gathering:
    """The answers to one call.

    :param expected: how many servers the broker counts.
    :param now: on the event loop's clock, as all moments here.
    :param stall: seconds without news after which the client waits for no more answers.
    """

    def __init__(self, expected: int, now: float, stall: float) -> None:
        self.replies: dict[str, Reply] = {}
        """The first reply of each server, by its instance."""
        self.unable: set[str] = set()
        """The servers that do not know such calls."""
        self._expected = expected
        self._stall = stall
        self._known: set[str] = set()
        self._news_at = now
        self._asked_at = inf
        """When the servers were first asked again for the call after the last news."""

    def pinged(self, instance: str, *, able: bool, now: float) -> None:
        """A server says that it is there.

        :param able: whether it knows such calls.
        """
        if not self._is_new(instance, now):
            return
        if not able:
            self.unable.add(instance)

    def noticed(self, instance: str, now: float) -> None:
        """A server says that the call goes on there."""
        if instance not in self.replies:
            self._is_new(instance, now)
            self._is_news(now)

    def replied(self, instance: str, reply: Reply, now: float) -> None:
        """A server replies. Its first reply counts."""
        if instance in self.replies:
            return
        self._is_new(instance, now)
        if instance in self._known:
            self.unable.discard(instance)
            self.replies[instance] = reply
            self._is_news(now)

    def paused(self, now: float) -> None:
        """No news can come at the moment, as there is no connection."""
        self._is_news(now)

    def asked(self, now: float) -> None:
        """The client has asked the servers what became of the call."""
        self._asked_at = min(self._asked_at, now)

    @property
    def gives_up_at(self) -> float:
        """The time at which the client stops to wait, unless there is news.

        Before that the servers are asked, and have half of the stall time to answer: a client that
        was busy for long has not read what they sent meanwhile.
        """
        return max(self._news_at + self._stall, self._asked_at + self._stall / 2)

    @property
    def is_complete(self) -> bool:
        """Whether all servers that are known to be there have answered."""
        return not self.missing

    @property
    def missing(self) -> int:
        """How many servers that are known to be there have not answered."""
        return max(self._expected, len(self._known)) - len(self.replies) - len(self.unable)

    @property
    def missing_instances(self) -> tuple[str, ...]:
        """The names of the missing servers, where they are known."""
        return tuple(sorted(self._known - self.replies.keys() - self.unable))

    def _is_new(self, instance: str, now: float) -> bool:
        if instance in self._known or len(self._known) >= _MOST:
            return False
        self._known.add(instance)
        self._is_news(now)
        return True

    def _is_news(self, now: float) -> None:
        self._news_at = now
        self._asked_at = inf
