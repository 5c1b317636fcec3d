"""A call for all servers: what is said before it is sent, and which messages are its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from leveret.amqp.codes import ReplyCode
from leveret.body_parts import Body
from leveret.client.calls.asking import Asking, Network, Question
from leveret.client.calls.listener import Listener
from leveret.client.calls.route import Finding, QueueState, Route
from leveret.contract import Progress
from leveret.errors import (
    Busy,
    CallError,
    ChannelClosed,
    ConnectionLost,
    DeadlineExceeded,
    NoServer,
    PermissionDenied,
    Unimplemented,
)
from leveret.wire.dialect import ClientChannel
from leveret.wire.message import ReplyAddress
from leveret.wire.native.dialect import NativeClient
from tests.behaviour.patience import until
from tests.unit.client.calls.test_inbox import message


class Channel:
    """Writes down what is published; the test answers for the broker."""

    def __init__(self, refuses: BaseException | None) -> None:
        self.published: list[Any] = []
        self.abandoned = False
        self.refuses = refuses
        self.fails: BaseException | None = None
        self.hangs = False
        self.on_return: Any = None
        self.on_confirm: Any = None
        self.on_close: Any = None
        self.connection = SimpleNamespace(loop=asyncio.get_running_loop())

    async def select_confirms(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails

    def publish(self, *args: Any, mandatory: bool) -> None:
        assert mandatory
        self.published.append(args)
        if self.refuses is not None:
            asyncio.get_running_loop().call_soon(self.on_close, self.refuses)

    def abandon(self) -> None:
        self.abandoned = True


class Scene:
    """Questions of a client whose broker and servers are the test."""

    def __init__(self, *, refuses: BaseException | None = None, **finding: Any) -> None:
        self.channel_of_call = Channel(refuses)
        self.route = Route("cache.drop", "leveret.cache.drop", "cache")
        self.finding = {"state": QueueState.THERE, "consumers": 1, **finding}
        self.answers_probes = True
        self.on_query: Callable[[], object] = lambda: None
        self.sent: list[tuple[Any, ...]] = []
        self.connection = SimpleNamespace(open_channel=self._open)
        self.channel = ClientChannel(
            number=1,
            frame_max=0,
            reply_to=ReplyAddress(exchange="", key="mine"),
            user="ann",
            name="",
        )
        self.is_attached = True
        loop = asyncio.get_running_loop()
        self.asking = Asking(
            cast("Network", self),
            most=2,
            time=loop.time,
            ready=self._ready,
            probe=self._probe,
            inquire=lambda *args: self.sent.append(("inquire", *args[:3])),
            query=self._query,
            cancel=lambda key, call_id, _seconds: self.sent.append(("cancel", key, call_id)),
        )

    def too_large(self, route: Route, body: Body) -> CallError | None:
        return Busy("it is too large", method=route.key) if len(body) > 10 else None

    def _query(self, route: Route, ids: list[str]) -> None:
        self.sent.append(("query", route.key, ids))
        self.on_query()

    async def _open(self) -> Channel:
        return self.channel_of_call

    async def _ready(self, _question: Question, timeout: float) -> float:
        return timeout

    async def _probe(self, route: Route) -> bool:
        if not self.answers_probes:
            return False
        if self.finding["state"] is None:
            await asyncio.Event().wait()
        route.probed(Finding(asked_at=0.0, found_at=0.0, **self.finding))
        return True

    def question(self, **changes: Any) -> Question:
        given: dict[str, Any] = {
            "id": "1",
            "route": self.route,
            "method": "drop",
            "dialect": NativeClient(),
            "content_type": "application/json",
            "body": b"{}",
            "headers": {},
            "stall": 30.0,
            "wait_for_connection": True,
        }
        return Question(**given | changes)

    async def begun(self, **changes: Any) -> asyncio.Task[Any]:
        """A question that was sent."""
        task = asyncio.create_task(self.asking.ask(self.question(**changes), 60))
        await until(lambda: bool(self.channel_of_call.published), "it is sent")
        return task

    def confirm(self, *, returned: bool = False) -> None:
        if returned:
            self.channel_of_call.on_return(None)
        self.channel_of_call.on_confirm(1, False, True)

    def say(self, call_id: str, kind: str, body: bytes = b"", instance: str = "a") -> bool:
        headers = {"instance": instance} if instance else None
        return self.asking.take(call_id, message(call_id, kind, body, headers=headers))


@pytest.mark.parametrize(
    ("finding", "error"),
    [
        ({"state": QueueState.MISSING, "consumers": 0}, Unimplemented),
        ({"consumers": 0}, NoServer),
        ({"state": QueueState.DOWN, "consumers": 0}, NoServer),
    ],
)
async def test_where_no_server_is_nothing_is_sent(
    finding: dict[str, Any], error: type[CallError]
) -> None:
    scene = Scene(**finding)
    with pytest.raises(error) as caught:
        await scene.asking.ask(scene.question(), 60)
    assert caught.value.executed == "no"
    assert (scene.sent, scene.channel_of_call.published) == ([], [])


async def test_what_keeps_it_from_being_sent_is_an_error() -> None:
    scene = Scene()
    with pytest.raises(Busy, match="too large"):
        await scene.asking.ask(scene.question(body=b"x" * 11), 60)
    scene.answers_probes = False
    with pytest.raises(ConnectionLost) as lost:
        await scene.asking.ask(scene.question(), 60)
    assert lost.value.executed == "no"
    hangs = Scene(state=None)
    with pytest.raises(DeadlineExceeded) as late:
        await hangs.asking.ask(hangs.question(), 0.01)
    assert late.value.where == "client"


async def test_no_more_are_open_at_a_time_than_the_client_allows() -> None:
    scene = Scene()
    asked = (scene.asking.ask(scene.question(id=str(number)), 60) for number in range(2))
    open_ones = [asyncio.create_task(each) for each in asked]
    await until(lambda: len(scene.channel_of_call.published) == 2, "both are sent")
    with pytest.raises(Busy, match="2 calls of all servers, .* are in flight already") as caught:
        await scene.asking.ask(scene.question(id="3"), 60)
    assert caught.value.executed == "no"
    for each in open_ones:
        each.cancel()
    await asyncio.wait(open_ones)
    with pytest.raises(Busy, match="too large"):  # not for that reason
        await scene.asking.ask(scene.question(id="4", body=b"large" * 100), 60)


async def test_what_has_no_channel_is_not_sent() -> None:
    scene = Scene()
    scene.channel_of_call.fails = ChannelClosed(ReplyCode.NOT_ALLOWED, "no channel is left")
    with pytest.raises(ConnectionLost, match="no channel is left") as caught:
        await scene.asking.ask(scene.question(), 60)
    assert caught.value.executed == "no"
    assert scene.channel_of_call.abandoned
    scene.channel_of_call.hangs = True
    with pytest.raises(DeadlineExceeded) as late:
        await scene.asking.ask(scene.question(), 0.01)
    assert (late.value.where, late.value.executed) == ("client", "no")
    assert (scene.channel_of_call.published, len(scene.asking)) == ([], 0)


async def test_the_request_goes_to_all_and_a_ping_beside_it() -> None:
    scene = Scene()
    task = await scene.begun(headers={"metadata": {"a": "b"}})
    ((exchange, key, properties, body),) = scene.channel_of_call.published
    assert (exchange, key, body) == ("leveret.control", "cache", b"{}")
    assert (properties.type, properties.correlation_id) == ("call", "1")
    assert properties.reply_to == "mine"
    assert (properties.user_id, properties.app_id) == ("ann", None)
    assert list(properties.headers) == ["method", "metadata", "deadline"]
    assert scene.sent == [("inquire", "ping", "cache", "1?")]
    assert len(scene.asking) == 1
    scene.confirm()
    assert scene.say("1", "result", b"7")
    gathering = await task
    assert gathering.replies["a"].body == b"7"
    assert len(scene.sent) == 1  # nothing is cancelled
    assert scene.channel_of_call.abandoned
    assert not scene.say("1", "result", b"8")
    assert not scene.asking.unbound("1?")


async def test_only_messages_that_name_their_server_count() -> None:
    scene = Scene()
    heard: list[Progress] = []
    listener = Listener(heard.append, asyncio.get_running_loop(), "cache.drop")
    task = await scene.begun(listener=listener)
    assert scene.asking.unbound("1?")
    scene.confirm()
    assert scene.say("1", "result", b"7", instance="")
    assert scene.say("1?", "result", b"no JSON")
    assert scene.say("1?", "result", b"{}")
    assert scene.say("1?", "result", b'{"instance":"a","calls_for_all":true}')
    assert scene.say("1?", "result", b'{"instance":"b"}')
    assert scene.say("1", "accepted")
    assert scene.say("1", "progress", b'{"fraction":0.5}')
    assert scene.say("1", "call")  # no answer
    await asyncio.sleep(0)
    assert heard == [Progress(fraction=0.5)]
    assert not task.done()
    scene.say("1", "error", b"{}")
    gathering = await task
    assert (set(gathering.replies), gathering.unable) == ({"a"}, {"b"})


async def test_where_nobody_is_bound_it_is_over_at_once() -> None:
    scene = Scene()
    task = await scene.begun()
    scene.confirm(returned=True)
    assert (await task).missing == 1
    assert scene.sent[-1] == ("cancel", "cache", "1")


async def test_it_waits_no_longer_than_for_news() -> None:
    scene = Scene()
    task = await scene.begun(stall=0.02)
    scene.confirm()
    gathering = await task
    assert (gathering.missing, gathering.missing_instances) == (1, ())
    assert ("query", "cache.drop", ["1"]) in scene.sent


async def test_a_handler_that_runs_for_longer_than_the_stall_time_is_waited_for() -> None:
    scene = Scene()
    task = await scene.begun(stall=0.01)
    scene.confirm()
    scene.on_query = lambda: scene.say("1", "accepted")
    await until(lambda: sum(sent[0] == "query" for sent in scene.sent) > 5, "it is asked for")
    assert not task.done()
    scene.say("1", "result", b"7")
    assert (await task).is_complete


async def test_a_client_without_a_connection_waits_for_one() -> None:
    scene = Scene()
    scene.is_attached = False
    task = await scene.begun(stall=0.01)
    scene.confirm()
    await until(lambda: sum(sent[0] == "query" for sent in scene.sent) > 5, "it is asked for")
    assert not task.done()
    scene.is_attached = True
    assert (await task).missing == 1


async def test_a_client_that_is_closed_tells_what_it_has() -> None:
    scene = Scene(consumers=2)
    task = await scene.begun()
    scene.confirm()
    scene.say("1", "result", b"7")
    scene.asking.end()
    gathering = await task
    assert (set(gathering.replies), gathering.missing) == ({"a"}, 1)


async def test_who_may_not_send_it_is_told_so() -> None:
    scene = Scene(refuses=ChannelClosed(ReplyCode.ACCESS_REFUSED, "no"))
    with pytest.raises(PermissionDenied, match=r"leveret\.control"):
        await scene.asking.ask(scene.question(), 60)


async def test_servers_may_have_what_the_broker_did_not_confirm() -> None:
    scene = Scene(refuses=ConnectionLost("gone"))
    task = await scene.begun()
    await asyncio.sleep(0)
    scene.say("1", "result", b"7")
    assert (await task).is_complete


async def test_a_caller_that_goes_away_cancels_it() -> None:
    scene = Scene()
    task = await scene.begun()
    scene.confirm()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scene.sent[-1] == ("cancel", "cache", "1")
