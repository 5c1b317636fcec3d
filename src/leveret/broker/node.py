"""The whole broker without its sockets: vhosts, users, sessions, the clock. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from leveret.broker.limits import Limits
from leveret.broker.model.clock import Clock
from leveret.broker.model.memory import Memory
from leveret.broker.model.vhost import VHost
from leveret.broker.permissions import User

if TYPE_CHECKING:
    from leveret.broker.session.channel import Channel
    from leveret.broker.session.session import Session


class Node:
    """What all sessions of one broker share.

    Collected while a read is handled, and dealt with at its end: `dirty`, the sessions that have
    something to send; `confirming`, the channels that have confirms to tell; `cancelled`, the
    consumers whose queue was deleted.
    """

    def __init__(
        self, users: Mapping[str, User], vhosts: tuple[str, ...], limits: Limits, clock: Clock
    ) -> None:
        self.users = dict(users)
        self.limits = limits
        self.clock = clock
        self.memory = Memory(limits.memory, self._alarm)
        self.incoming = 0  # bytes of messages of which a part has come
        self.vhosts: dict[str, VHost] = {}
        for name in vhosts:
            self.add_vhost(name)
        self.sessions: set[Session] = set()
        self.dirty: list[Session] = []
        self.confirming: list[Channel] = []
        self.cancelled: list[tuple[Channel, str]] = []

    def add_vhost(self, name: str) -> VHost:
        """Make a vhost; the one there is where its name is taken."""
        there = self.vhosts.get(name)
        if there is None:
            there = self.vhosts[name] = VHost(name, self.clock, self.memory)
        return there

    def tell_cancelled(self) -> None:
        """Tell consumers whose queue was deleted, after whoever deleted it was."""
        cancelled, self.cancelled = self.cancelled, []
        for channel, tag in cancelled:
            channel.tell_cancelled(tag)

    def end_pass(self) -> None:
        """The end of a pass: publish dead letters, look at the memory, tell what is to be told."""
        for vhost in self.vhosts.values():
            vhost.publish_dead_letters()
        self.tell_cancelled()
        self.memory.watch()
        if self.confirming:
            confirming, self.confirming = self.confirming, []
            for channel in confirming:
                channel.tell_confirms()

    def _alarm(self, alarmed: bool) -> None:
        if alarmed:
            return  # each is told when it publishes
        for session in list(self.sessions):
            if self.memory.short:
                return  # those before it have used it up again
            session.unblock()
