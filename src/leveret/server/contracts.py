"""Checks whether the servers that share a queue have the same contract of its method.

If their contracts differ, it depends on the server whether a call fails, and nothing says why. So a
server asks the others of each service for the hashes of their methods when it starts, and from time
to time. It asks a server with another hash for its schemas, and logs the difference once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Any, Final

from leveret.contract import differences
from leveret.errors import LeveretError
from leveret.wire.server_answers import Contracts, ServerAnswer, read_answer

log = logging.getLogger("leveret.server")

COMPARED_EVERY: Final = 300.0
"""Seconds between two comparisons, on average. Each gets as many answers as there are servers."""
_SOONEST: Final = 0.5
"""The smallest part of that time between two comparisons."""
_SHOWN: Final = 3
"""How many differences of a method the server logs."""
_MOST: Final = 100
"""How many contracts a comparison asks for at most, as strangers can send answers."""
_MOST_TOLD: Final = 10_000
"""How many logged contracts of other servers are remembered."""


class ContractCheck:
    """Compares the contracts of one server with those of others.

    :param mine: gives this server's identity, and the hashes of its methods.
    :param schemas: the entry of each of its methods in `service_schema`, by "service.method".
    :param ask: sends a question to the servers under a key, as `ask(word, key)`; `answered` gets
        the answers.
    """

    def __init__(
        self,
        *,
        mine: Callable[[], Contracts],
        schemas: Callable[[], Mapping[str, Mapping[str, Any]]],
        ask: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._mine = mine
        self._schemas = schemas
        self._ask = ask
        self._asked: dict[tuple[str, str], str] = {}
        """The instance that was asked for its schemas in this comparison, by method and hash."""
        self._told: set[tuple[str, str]] = set()
        """The differences that were logged, by method and hash."""
        self._task: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Compare now, and from time to time."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop comparing."""
        tasks = [*self._asking, *(() if self._task is None else (self._task,))]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self) -> None:
        while True:
            self._asked.clear()
            for service in self._mine().services:
                await self._question("contracts", service)
            part = random.uniform(_SOONEST, 2 - _SOONEST)
            await asyncio.sleep(COMPARED_EVERY * part)

    async def _question(self, word: str, key: str) -> None:
        try:
            await self._ask(word, key)
        except LeveretError as error:
            log.debug("other servers cannot be asked for their contracts now: %s", error)

    def answered(self, body: bytes) -> None:
        """Take the answer of another server: its hashes, or its schemas."""
        try:
            answer = read_answer(body)
        except ValueError as error:
            log.debug("an answer about contracts cannot be read: %s", error)
            return
        self._compare(answer)
        self._explain(answer)

    def _compare(self, other: ServerAnswer) -> None:
        """Ask for the schemas of a server that has another hash for a method."""
        mine = self._mine()
        if other.instance == mine.instance:
            return
        services: set[str] = set()
        for method, theirs in other.contracts.items():
            differs = mine.contracts.get(method, theirs) != theirs
            which = method, theirs
            if differs and which not in self._told and which not in self._asked:
                if len(self._asked) >= _MOST:
                    return
                self._asked[which] = other.instance
                services.add(method.partition(".")[0])
        for service in services:
            asking = asyncio.get_running_loop().create_task(
                self._question("info", f"{service}.{other.instance}")
            )
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)

    def _explain(self, other: ServerAnswer) -> None:
        """Log what differs."""
        described = {
            f"{service}.{name}": method
            for service, description in other.schemas.items()
            for name, method in description["methods"].items()
        }
        asked = [
            (method, theirs)
            for (method, theirs), instance in self._asked.items()
            if instance == other.instance and method in described
        ]
        mine = self._schemas() if asked else {}
        for which in asked:
            if which not in self._told:
                if len(self._told) >= _MOST_TOLD:
                    self._told.clear()
                self._told.add(which)
                method, _ = which
                self._warn(other, method, mine[method], described[method])

    def _warn(
        self,
        other: ServerAnswer,
        method: str,
        mine: Mapping[str, Any],
        theirs: Mapping[str, Any],
    ) -> None:
        found = list(islice(differences(mine, theirs), _SHOWN + 1))
        if not found:
            return
        more = ", and more" if len(found) > _SHOWN else ""
        log.warning(
            "%s has another contract at the server %.100s (instance %.20s), which takes requests"
            " from the same queue: %s%s. Calls may fail, by which server gets them",
            method,
            other.name,
            other.instance,
            "; ".join(found[:_SHOWN]),
            more,
        )
