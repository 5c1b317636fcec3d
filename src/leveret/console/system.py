"""The system that a console looks at: its connection, and all that is asked by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from leveret.client.survey import StatsSurvey, Survey, ask_calls, ask_stats
from leveret.console.contracts import Contract, Contracts
from leveret.console.poller import Poller
from leveret.console.recent import Recent
from leveret.console.rows import View
from leveret.errors import CallError, LeveretError
from leveret.rabbit.connecting import connect
from leveret.rabbit.rabbit import Rabbit
from leveret.wire.stats import ServerCalls

__all__ = ["NAME", "System"]

NAME: Final = "leveret-console"
"""What the console calls itself: servers count the calls that are made by it under this name."""
_WITHIN: Final = 1.0
"""Seconds that all servers have to answer."""


class System:
    """What all pages know of a system. It is asked from the first request on, or from `start`.

    :param rabbit: a connection, or the URL of a broker, or None for the usual one.
    :param interval: seconds between two questions to all servers.
    """

    def __init__(self, rabbit: Rabbit | str | None, *, interval: float) -> None:
        self._given = rabbit
        self._opened = rabbit if isinstance(rabbit, Rabbit) else None
        self._contracts = Contracts()
        self._queues: dict[str, str] = {}
        """By service, a queue that its servers consume, as they said."""
        self.poller = Poller(self._ask_stats, interval=interval)
        """Has what is known."""
        self.running: Recent[Survey[ServerCalls]] = Recent(self._ask_calls)
        """The calls that run."""

    def start(self) -> None:
        """Begin to ask, in the running event loop. Twice is fine."""
        if self._opened is None:
            given = self._given
            assert given is None or isinstance(given, str)
            self._opened = connect(given, name=NAME, lazy=True)
        self.poller.start()

    async def close(self) -> None:
        """Ask no more, and close the connection if it is the console's own."""
        await self.poller.stop()
        if self._opened is not None and not isinstance(self._given, Rabbit):
            await self._opened.close()

    @property
    def view(self) -> View:
        """What was known after the last poll that was answered."""
        return self.poller.view

    @property
    def rabbit(self) -> Rabbit:
        """The connection."""
        self.start()
        assert self._opened is not None
        return self._opened

    async def ready(self) -> None:
        """Have the first poll done before the first page."""
        self.start()
        await self.poller.after(0)

    async def contracts_of(self, service: str) -> list[Contract]:
        """The contracts of a service; none where its servers cannot be asked."""
        if self.poller.away:
            return []
        servers = [row.stats for row in self.poller.view.serving(service) if not row.is_gone]
        try:
            return await self._contracts.of(self.rabbit.calls, service, servers)
        except (LeveretError, RuntimeError):
            return []

    async def described(self, key: str) -> Mapping[str, Any] | None:
        """What most servers of a method say of it; None where nobody does."""
        service, _, name = key.partition(".")
        contracts = await self.contracts_of(service)
        return next((it.methods[name] for it in contracts if name in it.methods), None)

    async def _ask_stats(self) -> StatsSurvey:
        known = self._known()
        try:
            if known:
                survey = await ask_stats(self.rabbit.calls, None, _WITHIN, known=known)
            else:
                survey = await self.rabbit.stats(timeout=_WITHIN)  # which connects a lazy one
        except CallError as error:
            if error.code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
                await self.rabbit  # only this has a lazy connection try again
            raise
        for server in survey.servers:
            self._queues.update(server.queues)
        return survey

    async def _ask_calls(self) -> Survey[ServerCalls]:
        if known := self._known():
            return await ask_calls(self.rabbit.calls, None, _WITHIN, known=known)
        return await self.rabbit.running_calls(timeout=_WITHIN)

    def _known(self) -> Mapping[str, str]:
        """The queues of the services that are shown, so that no silent one is taken for gone."""
        services = self.view.services
        self._queues = {name: queue for name, queue in self._queues.items() if name in services}
        return self._queues
