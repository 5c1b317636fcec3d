"""docs/protocol.md is enough to write a server: Leveret's client calls one written from it."""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections.abc import Iterator
from functools import partial

import pika
import pytest

from leveret import (
    Busy,
    Cancelled,
    DeadlineExceeded,
    InvalidArgument,
    MaybeExecuted,
    NoServer,
    Rabbit,
    RemoteError,
    Service,
    Unimplemented,
    method,
)
from tests.behaviour.crashing import crash
from tests.behaviour.patience import PATIENCE, until
from tests.docs.bare_server import BareServer
from tests.docs.bare_server import DeclaredError as BareDeclaredError
from tests.docs.bare_server import Method as BareMethod
from tests.docs.protocol_services import TooLarge


class Board(Service):
    """What the bare server serves, as its callers see it."""

    @method(timeout=5, raises=[TooLarge])
    @abstractmethod
    async def double(self, n: int) -> int: ...

    @method(timeout=30)
    @abstractmethod
    async def wait(self) -> str: ...

    @method(timeout=30, idempotent=True)
    @abstractmethod
    async def again(self) -> str: ...


class Hand:
    """The bare server's handlers; those that wait do so until `may_end` is set."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.ran = 0

    def double(self, n: int) -> int:
        if n > 100:
            raise BareDeclaredError("TOO_LARGE", "too much", limit=100)
        if n < 0:
            raise ValueError("no carrots")
        return 2 * n

    def wait(self) -> str:
        self.ran += 1
        self.started.release()
        self.may_end.wait(PATIENCE)
        return "waited"

    async def has_started(self) -> None:
        assert await asyncio.to_thread(self.started.acquire, timeout=PATIENCE)

    @property
    def methods(self) -> dict[str, BareMethod]:
        return {
            "double": BareMethod(handler=self.double, parameters={"n": int}),
            "wait": BareMethod(handler=self.wait, concurrency=1),
            "again": BareMethod(handler=self.wait, concurrency=1, idempotent=True),
        }


@pytest.fixture
def hand() -> Iterator[Hand]:
    made = Hand()
    yield made
    made.may_end.set()


@pytest.fixture
def server(rabbitmq_url: str, hand: Hand) -> Iterator[BareServer]:
    with BareServer(rabbitmq_url, "board", hand.methods) as served:
        yield served
        hand.may_end.set()
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
    for name in hand.methods:
        connection.channel().queue_delete(f"leveret.board.{name}")
    connection.close()


def took_one(dying: pika.BlockingConnection, queue: str) -> bool:
    """Whether a server that will die has taken a request."""
    return dying.channel().basic_get(queue)[0] is not None


async def test_leverets_client_calls_a_bare_server(rabbit: Rabbit, server: BareServer) -> None:
    board = rabbit.remote(Board)
    assert await asyncio.gather(*(board.double(n) for n in range(50))) == list(range(0, 100, 2))
    back: dict[str, str] = {}
    marked = board.with_options(metadata={"tenant": "Burrow"}, reply_metadata=back)
    assert await marked.double(4) == 8
    assert back == {"tenant": "Burrow"}


async def test_a_bare_servers_errors_arrive(rabbit: Rabbit, server: BareServer) -> None:
    board = rabbit.remote(Board)
    with pytest.raises(TooLarge) as declared:
        await board.double(101)
    assert (declared.value.limit, declared.value.executed) == (100, "yes")
    with pytest.raises(RemoteError, match="ValueError: no carrots") as raised:
        await board.double(-1)
    assert raised.value.executed == "yes"
    with pytest.raises(InvalidArgument, match="missing or unknown") as refused:
        await rabbit.call("board.double", m=1)
    assert refused.value.executed == "no"


async def test_a_bare_server_keeps_the_deadline(
    rabbit: Rabbit, server: BareServer, hand: Hand
) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        await rabbit.remote(Board).with_options(timeout=0.3).wait()
    assert (caught.value.where, caught.value.executed) == ("handler", "yes")


async def test_leverets_client_understands_a_busy_bare_server(
    rabbit: Rabbit, server: BareServer, hand: Hand
) -> None:
    board = rabbit.remote(Board)
    running = asyncio.create_task(board.wait())
    await hand.has_started()
    with pytest.raises(Busy):
        await board.with_options(if_busy="fail").wait()
    with pytest.raises(DeadlineExceeded) as caught:
        await board.with_options(timeout=0.3).wait()
    assert caught.value.where == "queue"
    hand.may_end.set()
    assert await running == "waited"
    assert hand.ran == 1


async def test_leverets_client_tells_a_bare_server_of_its_cancels(
    rabbit: Rabbit, server: BareServer, hand: Hand
) -> None:
    board = rabbit.remote(Board)
    running, queued = (asyncio.create_task(board.wait()) for _ in range(2))
    await hand.has_started()
    queued.cancel()
    await asyncio.wait([queued])
    await until(lambda: bool(server.controlled), "the server gets the cancel")
    kind, properties = server.controlled[0]
    assert (kind, properties.expiration) == ("cancel", "30000")
    assert properties.reply_to.startswith("leveret.reply.")
    hand.may_end.set()
    assert await running == "waited"
    assert await board.double(1) == 2
    assert hand.ran == 1


async def test_a_bare_server_obeys_the_rule_of_redelivery(
    rabbit: Rabbit, rabbitmq_url: str, server: BareServer, hand: Hand
) -> None:
    board = rabbit.remote(Board).with_options(wait_for_server=True)
    server.do(server.drain)
    calls = asyncio.gather(board.wait(), board.again(), return_exceptions=True)
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as dying:
        for queue in ("leveret.board.wait", "leveret.board.again"):
            await until(partial(took_one, dying, queue), f"a request comes to {queue}")
    hand.may_end.set()
    with BareServer(rabbitmq_url, "board", hand.methods):
        ended, again = await calls
    assert isinstance(ended, MaybeExecuted)
    assert ended.executed == "maybe"
    assert again == "waited"


async def test_leverets_client_waits_for_a_bare_server_that_has_accepted(
    rabbit: Rabbit, server: BareServer, hand: Hand
) -> None:
    call = asyncio.create_task(rabbit.remote(Board).wait())
    await hand.has_started()
    server.do(server.drain)
    with pytest.raises(NoServer):  # its own request waits, and nobody listens
        await rabbit.remote(Board).wait()
    assert not call.done()
    hand.may_end.set()
    assert await call == "waited"


async def test_leverets_client_answers_a_bare_server_that_asks_who_waits(
    rabbit: Rabbit, rabbitmq_url: str, hand: Hand
) -> None:
    with BareServer(rabbitmq_url, "board", hand.methods):
        pass
    board = rabbit.remote(Board)
    waiting = asyncio.create_task(board.with_options(wait_for_server=True).double(4))
    with pytest.raises(NoServer):
        await board.wait()
    with BareServer(rabbitmq_url, "board", hand.methods) as server:
        assert await waiting == 8
        await until(lambda: len(server.controlled) == 2, "both questions are answered")
        answers = sorted(kind for kind, _ in server.controlled)
    assert answers == ["cancel", "go"]
    assert hand.ran == 0


async def test_leverets_server_and_a_bare_one_share_a_queue(
    rabbit: Rabbit, server: BareServer
) -> None:
    class Double(Service, name="board"):
        def __init__(self) -> None:
            self.ran = 0

        @method
        async def double(self, n: int) -> int:
            self.ran += 1
            return 2 * n

    ours = Double()
    async with rabbit.serving(ours):
        board = rabbit.remote(Board)
        assert await asyncio.gather(*(board.double(n) for n in range(40))) == [
            2 * n for n in range(40)
        ]
    assert 0 < ours.ran < 40


async def test_a_cancelled_reply_is_a_cancelled_call(rabbit: Rabbit, rabbitmq_url: str) -> None:
    def cancel() -> None:
        raise BareDeclaredError("CANCELLED", "by itself")

    methods = {"double": BareMethod(handler=cancel)}
    with BareServer(rabbitmq_url, "board", methods), pytest.raises(Cancelled):
        await rabbit.call("board.double")
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        connection.channel().queue_delete("leveret.board.double")
    with pytest.raises(Unimplemented):
        await rabbit.call("board.double")


async def test_leverets_client_asks_a_bare_server_after_its_connection_broke(
    rabbit: Rabbit, server: BareServer, hand: Hand
) -> None:
    call = asyncio.create_task(rabbit.remote(Board).wait())
    await hand.has_started()
    await until(lambda: not rabbit.calls.unconfirmed, "the broker has confirmed it")
    crash(rabbit)
    await until(lambda: "ask" in [kind for kind, _ in server.controlled], "the client asks")
    hand.may_end.set()
    assert await call == "waited"
    assert hand.ran == 1


async def test_leverets_client_sends_what_got_lost_to_a_bare_server_again(
    rabbit: Rabbit, rabbitmq_url: str, hand: Hand
) -> None:
    with BareServer(rabbitmq_url, "board", hand.methods):
        pass
    hand.may_end.set()
    call = asyncio.create_task(rabbit.remote(Board).with_options(wait_for_server=True).again())
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as thief:
        channel = thief.channel()
        await until(
            lambda: channel.basic_get("leveret.board.again", auto_ack=True)[0] is not None,
            "the request is stolen",
        )
    with BareServer(rabbitmq_url, "board", hand.methods) as server:
        assert await call == "waited"
        assert "ask" in [kind for kind, _ in server.controlled]
    assert hand.ran == 1


async def test_a_bare_server_answers_a_key_that_it_knows_from_its_record(
    rabbit: Rabbit, server: BareServer, hand: Hand
) -> None:
    hand.may_end.set()
    for key in ("order 17", "order 17", "order 18"):
        assert await rabbit.remote(Board).with_options(idempotency_key=key).wait() == "waited"
    assert hand.ran == 2
