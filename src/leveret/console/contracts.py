"""What the servers say that their services are: asked for when somebody looks, and kept.

Servers with the same hash have the same contract. So one server is asked for each hash, and never
again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol

from msgspec import Struct

from leveret.client.calls.inquiries import Inquiry
from leveret.contract import differences
from leveret.wire.control import INFO
from leveret.wire.server_answers import read_answer
from leveret.wire.stats import ServerStats

__all__ = ["Contract", "Contracts", "differing"]

_WITHIN: Final = 2.0
"""Seconds that a server has to say what it serves."""
_MOST: Final = 2_000
"""How many contracts are kept."""
_SHOWN: Final = 20
"""How many differences are shown."""


class Asks(Protocol):
    """The client, as far as it is needed here."""

    def inquiry(
        self,
        word: str,
        key: str,
        *,
        wait_for_connection: bool = True,
        body: bytes = b"",
        most: int = 100,
    ) -> Inquiry:
        """A question to the servers under a routing key."""
        ...


class Contract(Struct, frozen=True, kw_only=True):
    """A service as one kind of its servers has it."""

    hash: str
    """What servers of this kind say."""
    description: Mapping[str, Any]
    """As `service_schema` gives it."""
    instances: Sequence[str]
    """Which servers are of this kind."""

    @property
    def methods(self) -> Mapping[str, Mapping[str, Any]]:
        """Its methods, by name."""
        found: Mapping[str, Mapping[str, Any]] = self.description["methods"]
        return found


class Contracts:
    """The contracts that were asked for."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Mapping[str, Any]] = {}

    async def of(
        self, client: Asks, service: str, servers: Iterable[ServerStats]
    ) -> list[Contract]:
        """The contracts of a service, the one that most servers have first.

        Those that cannot be had are left out.

        :raises CallError: if servers cannot be asked.
        """
        here = [server for server in servers if service in server.services]
        hashes = Counter(server.hashes.get(service) or server.instance for server in here)
        found: list[Contract] = []
        for text, _ in hashes.most_common():
            same = [it.instance for it in here if (it.hashes.get(service) or it.instance) == text]
            description = self._kept.get((service, text))
            if description is None:
                description = await self._ask(client, service, same[0])
            if description is not None:
                if len(self._kept) >= _MOST:
                    self._kept.clear()
                self._kept[service, text] = description
                found.append(Contract(hash=text, description=description, instances=same))
        return found

    async def _ask(self, client: Asks, service: str, instance: str) -> Mapping[str, Any] | None:
        end = asyncio.get_running_loop().time() + _WITHIN
        with client.inquiry(INFO, f"{service}.{instance}") as inquiry:
            left = await inquiry.ask(_WITHIN)
            while left > 0 and not inquiry.answers and not inquiry.is_unbound:
                if not await inquiry.news(left):
                    break
                left = end - asyncio.get_running_loop().time()
        for body in inquiry.answers:
            try:
                return read_answer(body).schemas.get(service)
            except ValueError:
                continue
        return None


def differing(contracts: Sequence[Contract]) -> list[tuple[Contract, list[str]]]:
    """How the other contracts differ from the first one."""
    found: list[tuple[Contract, list[str]]] = []
    for other in contracts[1:]:
        first = contracts[0].methods
        lines = [
            f"{name}: only in {contracts[0].hash}" for name in first if name not in other.methods
        ]
        lines += [f"{name}: only in {other.hash}" for name in other.methods if name not in first]
        for name in first:
            if name in other.methods:
                told = differences(dict(first[name]), dict(other.methods[name]))
                lines += [f"{name}: {line}" for line in islice(told, _SHOWN)]
        found.append((other, lines[:_SHOWN]))
    return found
