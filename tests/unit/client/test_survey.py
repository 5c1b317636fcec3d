"""What a survey takes for missing, with a client whose broker is scripted."""

from __future__ import annotations

import msgspec
import pytest

from leveret.client.calls.inquiries import Inquiries, Inquiry
from leveret.client.survey import ask_ping, ask_servers, ask_stats
from leveret.wire.stats import ServerIdentity


def _answer(instance: str) -> bytes:
    queues = {"shop": "leveret.shop.order"}
    return msgspec.json.encode(ServerIdentity(instance=instance, services=["shop"], queues=queues))


class _Client:
    """Its first server answers at once; its broker counts if it is given long enough.

    :param starting: servers that the broker counts, and that did not get the first question.
    """

    def __init__(self, counts: int, *, takes: float, starting: tuple[str, ...] = ()) -> None:
        self.looks: list[float] = []
        self.asked = 0
        self._counts = counts
        self._takes = takes
        self._starting = starting
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
        return self._inquiries.open(
            word, key, wait_for_connection=wait_for_connection, body=body, most=most
        )

    async def count_servers(self, queue: str, seconds: float) -> int | None:
        if queue == "leveret.stock.take":
            return 3
        assert queue == "leveret.shop.order"
        self.looks.append(seconds)
        return self._counts if seconds >= self._takes else None

    def _ask(self, _word: str, _key: str, name: str, _seconds: float, _body: bytes) -> None:
        self.asked += 1
        for instance in ("0a1b2c3d", *(self._starting if self.asked > 1 else ())):
            self._inquiries.answered(name, _answer(instance))

    async def _ready(self, _inquiry: Inquiry, timeout: float) -> float:
        return timeout


async def test_a_server_that_does_not_answer_is_missed_where_the_broker_counts_late() -> None:
    client = _Client(2, takes=0.9)
    seen = await ask_servers(client, "shop", 0.3)
    assert [server.instance for server in seen.servers] == ["0a1b2c3d"]
    assert seen.missing == {"shop": 1}
    assert client.looks[-1] >= 0.9


async def test_servers_that_start_meanwhile_are_asked_again() -> None:
    client = _Client(3, takes=0.0, starting=("1a1b2c3d", "2a1b2c3d"))
    pings = await ask_ping(client, "shop", 20.0)
    assert [pong.server.instance for pong in pings.servers] == ["0a1b2c3d", "1a1b2c3d", "2a1b2c3d"]
    assert pings.is_complete
    assert all(pong.seconds >= 0 for pong in pings.servers)
    assert client.asked == 2


async def test_a_server_that_does_not_answer_is_asked_twice_and_no_more() -> None:
    client = _Client(2, takes=0.0)
    assert (await ask_servers(client, "shop", 1.0)).missing == {"shop": 1}
    assert client.asked == 2


@pytest.mark.parametrize(("counts", "takes"), [(1, 0.0), (2, 9.0)])
async def test_who_is_all_there_is_not_waited_for_nor_a_broker_that_never_counts(
    counts: int, takes: float
) -> None:
    client = _Client(counts, takes=takes)
    seen = await ask_servers(client, "shop", 20.0)
    assert seen.missing == {}
    assert client.looks == [1.0]


async def test_where_the_broker_never_counts_nobody_says_that_all_have_answered() -> None:
    counted = await ask_servers(_Client(1, takes=0.0), "shop", 20.0)
    assert (counted.is_complete, counted.uncounted) == (True, ())
    for ask in (ask_servers, ask_ping, ask_stats):
        seen = await ask(_Client(2, takes=9.0), "shop", 20.0)
        assert (seen.is_complete, seen.missing, seen.uncounted) == (False, {}, ("shop",))
    # One server that is named has answered, or it is not there: there is nothing to count.
    assert (await ask_servers(_Client(2, takes=9.0), "shop.0a1b2c3d", 20.0)).is_complete


async def test_a_silent_service_is_missed_where_somebody_knew_it() -> None:
    client = _Client(1, takes=0.0)
    assert (await ask_stats(client, None, 0.3)).is_complete
    known = {"stock": "leveret.stock.take"}
    assert (await ask_stats(client, None, 0.3, known=known)).missing == {"stock": 3}
