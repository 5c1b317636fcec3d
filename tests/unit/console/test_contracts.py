"""Contracts of services: each kind of server is asked once."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from leveret import Service, method, service_schema
from leveret.client.calls.inquiries import Inquiries, Inquiry
from leveret.console.contracts import Contracts, differing
from leveret.wire.stats import ServerStats


class Shop(Service):
    @method
    async def order(self, what: str) -> str:
        return what

    @method
    async def close(self) -> None: ...


class Other(Service, name="shop"):
    @method
    async def order(self, what: str, count: int) -> str:
        return what * count

    @method
    async def open(self) -> None: ...


DESCRIBED = {"a": service_schema(Shop), "b": service_schema(Other)}


class Servers:
    """Servers that answer each question as soon as it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.garbage = False
        self._inquiries = Inquiries(ask=self._ask, ready=self._ready)

    def inquiry(
        self,
        word: str,
        key: str,
        *,
        wait_for_connection: bool = True,
        body: bytes = b"",
        most: int = 100,
    ) -> Inquiry:
        return self._inquiries.open(word, key)

    async def _ready(self, _inquiry: Inquiry, timeout: float) -> float:
        return timeout

    def _ask(self, word: str, key: str, name: str, seconds: float, body: bytes) -> None:
        self.asked.append(key)
        instance = key.partition(".")[2]
        described = DESCRIBED.get(instance[0])
        loop = asyncio.get_running_loop()
        if described is None:
            loop.call_soon(self._inquiries.unbound, name)
            return
        answer: Any = {"instance": instance, "name": "", "services": ["shop"]}
        answer["schemas"] = {"shop": described}
        said = b"{" if self.garbage else msgspec.json.encode(answer)
        loop.call_soon(self._inquiries.answered, name, said)


def server(instance: str, contract: str) -> ServerStats:
    return ServerStats(instance=instance, services=["shop"], hashes={"shop": contract})


async def test_one_server_of_each_kind_is_asked_and_never_again() -> None:
    servers = Servers()
    contracts = Contracts()
    there = [server("b1", "2"), server("a1", "1"), server("a2", "1")]
    for _ in range(2):
        found = await contracts.of(servers, "shop", there)
        assert [(it.hash, list(it.instances)) for it in found] == [
            ("1", ["a1", "a2"]),
            ("2", ["b1"]),
        ]
    assert servers.asked == ["shop.a1", "shop.b1"]
    ((other, lines),) = differing(found)
    assert other.hash == "2"
    assert "close: only in 1" in lines
    assert "open: only in 2" in lines
    assert any(line.startswith("order: ") for line in lines)


async def test_who_cannot_be_read_or_is_gone_is_left_out() -> None:
    servers = Servers()
    assert await Contracts().of(servers, "shop", [server("c1", "1")]) == []
    servers.garbage = True
    assert await Contracts().of(servers, "shop", [server("a1", "1")]) == []
    assert await Contracts().of(servers, "shop", []) == []
    assert servers.asked == ["shop.c1", "shop.a1"]
