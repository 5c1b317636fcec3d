"""What a client makes of the answers of servers, of none, and of answers that are none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from leveret import (
    ConnectionLost,
    ContractError,
    InvalidArgument,
    NoServer,
    Service,
    method,
    service_schema,
)
from leveret.client.calls.inquiries import Inquiries, Inquiry
from leveret.client.discovery import LiveServer, LiveService, discover, is_one_way, survey
from leveret.contract import ServiceSpec


class Old(Service, name="shop"):
    """An old shop."""

    @method
    async def price(self, sku: str) -> int:
        return 1


class New(Service, name="shop"):
    @method
    async def price(self, sku: int) -> int:
        return 1

    @method
    async def buy(self) -> None: ...


def info(instance: str, *services: type[Service]) -> bytes:
    schemas = {service.__leveret__.name: service_schema(service) for service in services}
    return msgspec.json.encode({"instance": instance, "services": [*schemas], "schemas": schemas})


class Depot(Service, name="depot"):
    @method
    async def count(self) -> int:
        return 1


class Servers:
    """A client, whose questions these answer: a word, a key, and bodies; no body for nobody."""

    def __init__(self, answers: dict[str, list[list[bytes] | None]]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.failure: ConnectionLost | None = None
        self.inquiries = Inquiries(ask=self._ask, ready=self._ready)
        self.inquiry = self.inquiries.open

    async def _ready(self, _inquiry: Inquiry, timeout: float) -> float:
        if self.failure is not None and self.asked:
            raise self.failure
        return timeout

    def _ask(self, word: str, key: str, name: str, _seconds: float, _body: bytes) -> None:
        self.asked.append(f"{word} {key}")
        answers = self.answers[word]
        bodies = answers.pop(0) if len(answers) > 1 else answers[0]
        if bodies is None:
            self.later(self.inquiries.unbound, name)
        for body in bodies or ():
            self.later(self.inquiries.answered, name, body)

    def later(self, tell: Callable[..., object], *args: object) -> None:
        asyncio.get_running_loop().call_soon(tell, *args)

    async def discover(self, service: str = "shop", **options: Any) -> ServiceSpec:
        given = {"timeout": 60.0, "wait_for_server": False, "wait_for_connection": True}
        return await discover(self, service, **{**given, **options})


async def test_most_servers_are_believed_and_the_others_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    servers = Servers({"info": [[info("1", Old), info("2", New), info("3", New), b"{"]]})
    spec = await servers.discover()
    assert spec.doc == "An old shop."  # of the first
    assert list(spec.methods) == ["price", "buy"]
    assert spec.methods["price"].parameters.__annotations__ == {"sku": int}
    (line,) = caplog.messages
    assert 'arguments.properties.sku.type is "integer" here and "string" there' in line


async def test_a_server_that_answers_twice_counts_once(caplog: pytest.LogCaptureFixture) -> None:
    servers = Servers({"info": [[info("1", Old), info("1", Old), info("2", New), info("3", New)]]})
    spec = await servers.discover()
    assert spec.methods["price"].parameters.__annotations__ == {"sku": int}
    assert len(caplog.messages) == 1


async def test_servers_say_which_methods_are_one_way() -> None:
    class Audit(Service):
        @method(one_way=True)
        async def note(self) -> None: ...

        @method
        async def count(self) -> int:
            return 1

    servers = Servers({"info": [[info("1", Old), b"{", info("2", Audit)]]})
    assert await is_one_way(servers, "audit.note", 60)
    assert not await is_one_way(servers, "audit.count", 60)
    assert not await is_one_way(servers, "audit.other", 60)
    assert not await is_one_way(Servers({"info": [None]}), "audit.note", 60)
    servers.failure = ConnectionLost("it broke")
    assert not await is_one_way(servers, "audit.note", 60)


async def test_it_asks_again_until_a_server_is_there() -> None:
    servers = Servers({"info": [None, None, [info("1", Old)]]})
    spec = await servers.discover(wait_for_server=True)
    assert list(spec.methods) == ["price"]
    assert servers.asked == ["info shop"] * 3


async def test_without_a_server_it_says_who_is_there() -> None:
    ping = msgspec.json.encode({"services": ["b", "a"]})
    servers = Servers({"info": [None], "ping": [[ping, ping, b"{", b'{"services":["c",7]}']]})
    with pytest.raises(NoServer, match=r"those that are serve a, b\. Is the name right\?"):
        await servers.discover()
    servers = Servers({"info": [None], "ping": [None]})
    with pytest.raises(NoServer, match="'shop' is there, nor of any other. Start one"):
        await servers.discover()
    servers = Servers({"info": [None], "ping": [None]})
    servers.failure = ConnectionLost("gone")
    with pytest.raises(NoServer, match=r"'shop' is there\. Start one"):
        await servers.discover()


async def test_silence_ends_in_time() -> None:
    servers = Servers({"info": [[]]})
    with pytest.raises(NoServer, match=r"answered in 0\.01 s"):
        await servers.discover(timeout=0.01)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"7",
        b'{"schemas":7}',
        b'{"schemas":{"shop":7}}',
        b'{"schemas":{"shop":{"methods":[1]}}}',
        b'{"schemas":{"shop":{"methods":{"price":7}}}}',
    ],
)
async def test_answers_that_are_none_are_refused(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "leveret.client")
    with pytest.raises(
        ContractError,
        match="the description that servers give of the service 'shop' cannot be read",
    ):
        await Servers({"info": [[body]]}).discover()


@pytest.mark.parametrize("name", ["", "all", "a.b", "#", "*", "x" * 300])
async def test_a_name_that_no_service_can_have_is_refused(name: str) -> None:
    servers = Servers({})
    with pytest.raises(InvalidArgument, match="a service is named"):
        await servers.discover(name)
    assert not servers.asked


async def found(servers: Servers, *names: str) -> dict[str, LiveService]:
    return await survey(servers, names, timeout=60.0)


async def test_a_survey_tells_what_there_is_and_who_serves_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = [info("2", New, Depot), info("1", New), b"{", info("1", New)]
    servers = Servers({"info": [answers]})
    there = await found(servers)
    assert servers.asked == ["info all"]
    assert list(there) == ["depot", "shop"]
    assert there["depot"].servers == (LiveServer(instance="2", name=""),)
    assert [server.instance for server in there["shop"].servers] == ["1", "2"]
    assert there["shop"].description == service_schema(New)
    many = [info(f"{number:x}", Depot) for number in range(100)]
    assert len((await found(Servers({"info": [many]})))["depot"].servers) == 100
    assert caplog.messages == ["the answers of 100 servers are used; there may be more"]
    assert await found(Servers({"info": [None]})) == {}


async def test_a_service_takes_started_calls_if_all_its_servers_do() -> None:
    one, other = (msgspec.json.decode(info(it, Depot)) for it in "12")
    for starts, expected in ((True, True), (False, None)):
        answers = [{**one, "starts": True}, {**other, "starts": starts}]
        there = await found(Servers({"info": [[*map(msgspec.json.encode, answers)]]}))
        assert there["depot"].description.get("starts") is expected


async def test_a_survey_of_services_by_name_needs_all_of_them() -> None:
    servers = Servers({"info": [[info("1", Old, Depot)], [info("1", Old, Depot)]]})
    assert list(await found(servers, "shop", "depot", "shop")) == ["depot", "shop"]
    assert servers.asked == ["info shop", "info depot"]
    ping = msgspec.json.encode({"services": ["depot", "shop"]})
    servers = Servers({"info": [None], "ping": [[ping]]})
    with pytest.raises(NoServer, match=r"serve depot, shop\. Did you mean 'shop'\?"):
        await found(servers, "shp")
    with pytest.raises(ContractError, match="of the service 'depot' cannot be read"):
        await found(Servers({"info": [[b"{}"]]}), "depot")
