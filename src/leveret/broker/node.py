"""The whole broker without its sockets: vhosts, users, sessions, the clock. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from leveret.broker.limits import Limits
from leveret.broker.model.clock import Clock
from leveret.broker.model.memory import Memory
from leveret.broker.model.vhost import VHost
from leveret.broker.permissions import User
from leveret.broker.session.batch import Batch
from leveret.broker.session.session import Session, Socket


class Node:
    """One broker's state, and what its sessions share.

    :param users: may log in, by name.
    :param vhosts: names of vhosts that are there from the start.
    """

    def __init__(
        self, users: Mapping[str, User], vhosts: tuple[str, ...], limits: Limits, clock: Clock
    ) -> None:
        self.users = dict(users)
        self.limits = limits
        self.clock = clock
        self.memory = Memory(limits.memory, self._on_alarm)
        self.vhosts: dict[str, VHost] = {}
        self.sessions: dict[Session, None] = {}
        self.batch = Batch()
        self.channels_of: Counter[str] = Counter()
        """How many channels each user has."""
        for name in vhosts:
            self.add_vhost(name)

    def add_vhost(self, name: str) -> VHost:
        """Make a vhost, or return the one of that name."""
        vhost = self.vhosts.get(name)
        if vhost is None:
            vhost = self.vhosts[name] = VHost(name, self.clock, self.memory)
        return vhost

    def open_session(self, socket: Socket, peer: str) -> Session:
        """Begin the session of a client that has connected.

        :param peer: the client's address, for the log.
        """
        session = Session(
            socket,
            peer,
            users=self.users,
            vhosts=self.vhosts,
            limits=self.limits,
            memory=self.memory,
            batch=self.batch,
            channels_of=self.channels_of,
            on_lost=lambda lost: self.sessions.pop(lost, None),
        )
        self.sessions[session] = None
        return session

    def end_pass(self) -> None:
        """End a pass: publish dead letters, check the memory, send what is due."""
        for vhost in self.vhosts.values():
            if vhost.dead:
                vhost.publish_dead_letters()
        batch = self.batch
        if batch.cancels:
            batch.send_cancels()
        self.memory.check()
        if batch.confirms:
            batch.send_confirms()

    def _on_alarm(self, alarmed: bool) -> None:
        if alarmed:
            return  # each session notices when its client publishes
        for session in list(self.sessions):
            if self.memory.short:
                return  # those before it have used the memory up again
            session.unblock()
