"""Pipes: one call through several methods, whose servers pass the results on among themselves."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

import pytest

import leveret
from leveret import (
    Busy,
    ContractError,
    DeadlineExceeded,
    DeclaredError,
    InvalidArgument,
    MaybeExecuted,
    NoServer,
    OutgoingCall,
    PermissionDenied,
    Rabbit,
    RemoteError,
    Service,
    Unimplemented,
    current_call,
    method,
)
from leveret.amqp import methods
from leveret.amqp.events import Delivery
from leveret.once import MemoryOnce
from leveret.server.calls import passing
from leveret.server.calls.next_requests import NextRequests
from leveret.wire.message import Next
from leveret.wire.native.request import read_request
from leveret.wire.native.stages import pack_next
from tests.behaviour.crashing import crash
from tests.behaviour.patience import at_once, until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.users import Users
from tests.brokers import Broker


class OutOfInk(DeclaredError):
    """There is none left."""

    left: int = 0


class Draw(Service):
    """The first stage."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    @method(timeout=30)
    async def line(self, name: str, times: int = 1) -> str:
        self.ran.append(name)
        if name == "draw":
            raise ValueError("no pencil")
        return name * times

    @method(timeout=30, idempotent=True)
    async def sketch(self, name: str) -> str:
        self.ran.append(name)
        return name

    @method(timeout=30, once=True)
    async def sign(self, name: str) -> str:
        self.ran.append(name)
        return f"{name}!"


class Ink(Service):
    """The second stage, which can be held."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.users: list[str] = []
        self.metadata: list[dict[str, str]] = []
        self.cancelled = 0
        self.opened = asyncio.Event()
        self.opened.set()

    async def _run(self, name: str) -> str:
        call = current_call()
        self.ran.append(name)
        self.users.append(call.user)
        self.metadata.append(dict(call.metadata))
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if name == "ink":
            raise OutOfInk(left=3)
        return name.upper()

    @method(timeout=30, raises=[OutOfInk])
    async def fill(self, name: str, color: str = "black") -> str:
        return await self._run(name)

    @method(timeout=30, idempotent=True)
    async def wash(self, name: str) -> str:
        return await self._run(name)

    @method(timeout=30, max_length=1)
    async def rare(self, name: str) -> str:
        return await self._run(name)


class Press(Service):
    """The third stage, of other content types."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    @method(timeout=30, content_type="text/plain")
    async def count(self, text: str) -> int:
        self.ran.append(text)
        if text == "PRESS":
            raise InvalidArgument("too heavy")
        return len(text)

    @method(timeout=30, content_type="application/msgpack", idempotent=True)
    async def double(self, n: int) -> int:
        return 2 * n


def not_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that is not there is waited for for a moment only."""
    monkeypatch.setattr(passing, "DECLARED_AGAIN_WITHIN", 0.0)


async def test_each_stage_gets_the_result_of_the_one_before_it(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    draw, ink, press = client.remote(Draw), client.remote(Ink), client.remote(Press)
    ran = Ink()
    async with host.serving(Draw(), Press()), other_host.serving(ran):
        sent = client.calls.sent
        pipe = client.pipe(draw.line, ink.fill, press.count, press.double)
        assert await pipe("cat", times=2) == 12
        assert client.calls.sent == sent + 1
        more = client.with_options(metadata={"trace": "7"}).pipe(draw.line, ink.fill)
        assert await asyncio.gather(*(more(name) for name in "abc")) == ["A", "B", "C"]
        assert ran.metadata[1:] == [{"trace": "7"}] * 3
    assert client.late_replies == 0


async def test_an_error_says_at_which_stage_it_was(client: Rabbit, host: Rabbit) -> None:
    draw, ink, press = client.remote(Draw), client.remote(Ink), client.remote(Press)
    pipe = client.pipe(draw.line, ink.fill, press.count)
    async with host.serving(Draw(), Ink(), Press()):
        with pytest.raises(RemoteError, match=r"draw\.line \(stage 1\): ValueError") as first:
            await pipe("draw")
        assert (first.value.stage, first.value.executed) == (1, "yes")
        with pytest.raises(OutOfInk) as second:
            await pipe("ink")
        assert (second.value.stage, second.value.method) == (2, "ink.fill")
        assert second.value.left == 3
        with pytest.raises(InvalidArgument, match="too heavy") as third:
            await pipe("press")
        assert (third.value.stage, third.value.method) == (3, "press.count")
        assert third.value.executed == "yes"


async def test_a_stage_without_a_server_is_named_and_the_pipe_has_begun(
    client: Rabbit, host: Rabbit, patient_clients: None
) -> None:
    draw, ink = client.remote(Draw), client.remote(Ink)
    async with host.serving(Ink()):
        pass
    async with host.serving(Draw()):
        with pytest.raises(NoServer) as caught:
            await client.pipe(draw.line, ink.fill)("cat")
        assert (caught.value.stage, caught.value.method) == (2, "ink.fill")
        assert caught.value.executed == "maybe"
        patient = client.with_options(wait_for_server=True, timeout=1)
        with pytest.raises(DeadlineExceeded) as late:
            await patient.pipe(draw.line, ink.wash)("cat")
        if late.value.stage == 2:  # else the machine took a second for the first stage
            assert late.value.where == "queue"
        waiting = asyncio.create_task(
            client.with_options(wait_for_server=True).pipe(draw.line, ink.fill)("dog")
        )
        async with host.serving(Ink()):
            assert await waiting == "DOG"


async def test_a_stage_without_a_queue_is_named(
    client: Rabbit, host: Rabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_at_once(monkeypatch)
    async with host.serving(Draw()):
        with pytest.raises(Unimplemented, match="was its server ever started") as caught:
            await client.pipe(client.remote(Draw).line, client.remote(Ink).fill)("cat")
        assert (caught.value.stage, caught.value.executed) == (2, "maybe")


async def test_the_client_that_finds_no_queue_of_a_stage_does_not_say_that_it_was_deleted(
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Draw()):
        with pytest.raises(Unimplemented, match="was its server ever started") as caught:
            await client.pipe(client.remote(Draw).line, client.remote(Ink).fill)("cat")
        assert (caught.value.stage, caught.value.executed) == (2, "maybe")


async def test_a_queue_that_is_deleted_is_declared_again_for_what_is_passed_on(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Draw(), Ink()):
        await raw.delete("leveret.ink.wash")
        patient = client.with_options(wait_for_server=True)
        pipe = patient.pipe(client.remote(Draw).sketch, client.remote(Ink).wash)
        assert await pipe("cat") == "CAT"


async def test_a_full_queue_of_a_later_stage_is_busy_there(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Ink()):
        pass
    raw.request("ink.rare", b'{"name":"cat"}', expiration="30000")
    await until_found(lambda: raw.waiting("leveret.ink.rare"), 1, "the queue is full")
    async with host.serving(Draw()):
        patient = client.with_options(wait_for_server=True)
        with pytest.raises(Busy) as caught:
            await patient.pipe(client.remote(Draw).line, client.remote(Ink).rare)("dog")
        assert (caught.value.stage, caught.value.method) == (2, "ink.rare")
        assert caught.value.executed == "maybe"


async def test_a_cancel_reaches_the_stage_that_runs(client: Rabbit, host: Rabbit) -> None:
    ink = Ink()
    ink.opened.clear()
    async with host.serving(Draw(), ink):
        pipe = client.pipe(client.remote(Draw).line, client.remote(Ink).fill)
        call = asyncio.create_task(pipe("cat"))
        await until(lambda: ink.ran == ["cat"], "the second stage runs")
        call.cancel()
        await until(lambda: ink.cancelled == 1, "it is cancelled")
        with pytest.raises(asyncio.CancelledError):
            await call
    assert client.in_flight == 0


async def test_all_stages_have_one_deadline(
    client: Rabbit, host: Rabbit, patient_clients: None
) -> None:
    ink = Ink()
    ink.opened.clear()
    async with host.serving(Draw(), ink):
        pipe = client.with_options(timeout=1).pipe(
            client.remote(Draw).line, client.remote(Ink).fill
        )
        with pytest.raises(DeadlineExceeded) as caught:
            await pipe("cat")
        if ink.ran:  # else the machine took a second to get there
            assert (caught.value.where, caught.value.executed) == ("handler", "yes")
            assert caught.value.stage == 2


@pytest.mark.parametrize("first", ["sketch", "line"])
async def test_pipes_survive_the_death_of_a_stages_server(
    client: Rabbit, host: Rabbit, mortal_host: Rabbit, other_host: Rabbit, first: str
) -> None:
    """None is lost: the second stage may be run again, whatever the first one is."""
    held, ink = Ink(), Ink()
    held.opened.clear()
    pipe = client.pipe(getattr(client.remote(Draw), first), client.remote(Ink).wash)
    names = [f"cat {n}" for n in range(200)]
    async with host.serving(Draw()), mortal_host.serving(held, grace=0):
        calls = [asyncio.create_task(pipe(name)) for name in names]
        await until(lambda: len(held.ran) >= 50, "some are at the second stage")
        async with other_host.serving(ink):
            crash(mortal_host)
            assert await asyncio.gather(*calls) == [name.upper() for name in names]
    assert client.in_flight == 0


class Shared(MemoryOnce):
    """A store that the servers of this process share."""

    shared = True


async def test_a_key_has_each_stage_run_once_whatever_dies(
    client: Rabbit, host: Rabbit, mortal_host: Rabbit, other_host: Rabbit
) -> None:
    """A repeated stage is answered from its record, and that is passed on."""
    draw, ink, press = Draw(), Ink(), Press()
    store = Shared()
    names = [f"cat {n}" for n in range(50)]

    def pipe(name: str) -> Any:
        keyed = client.with_options(idempotency_key=f"key {name}")
        stages = client.remote(Draw).line, client.remote(Ink).fill, client.remote(Press).count
        return keyed.pipe(*stages)(name)

    async with (
        mortal_host.serving(draw, grace=0, once=store),
        host.serving(ink, press, once=store),
    ):
        calls = [asyncio.create_task(pipe(name)) for name in names]
        await until(lambda: len(draw.ran) >= 10, "some are at the first stage")
        async with other_host.serving(draw, once=store):
            crash(mortal_host)
            assert await asyncio.gather(*calls) == [len(name) for name in names]
            assert await asyncio.gather(*map(pipe, names)) == [len(name) for name in names]
    for ran in (draw.ran, ink.ran, press.ran):
        assert len(ran) == len(names)
        assert len(set(ran)) == len(names)


async def test_a_method_with_keys_of_its_own_may_be_a_stage_twice(
    client: Rabbit, host: Rabbit
) -> None:
    draw = Draw()
    async with host.serving(draw):
        sign = client.remote(Draw).sign
        assert await client.pipe(sign, sign, sign)("ann") == "ann!!!"
    assert draw.ran == ["ann", "ann!", "ann!!"]


async def test_a_drain_of_a_middle_stage_loses_no_pipe(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    one, two = Ink(), Ink()
    one.opened.clear()
    pipe = client.pipe(client.remote(Draw).line, client.remote(Ink).fill)
    names = [f"cat {n}" for n in range(150)]
    async with host.serving(Draw()), other_host.serving(one) as server:
        calls = [asyncio.create_task(pipe(name)) for name in names]
        await until(lambda: len(one.ran) >= 50, "some are at the second stage")
        async with host.serving(two):
            drain = asyncio.create_task(server.drain())
            one.opened.set()
            assert await asyncio.gather(*calls) == [name.upper() for name in names]
            await drain
    assert sorted(one.ran + two.ran) == sorted(names)


async def test_a_request_of_a_later_stage_that_got_lost_has_the_pipe_begin_anew(
    client: Rabbit, host: Rabbit, other_host: Rabbit, raw: RawPeer
) -> None:
    """All its stages may run twice, and nobody else has what the lost request had."""
    draw, ink = Draw(), Ink()
    async with other_host.serving(Ink()):
        pass
    async with host.serving(draw):
        patient = client.with_options(wait_for_server=True)
        call = asyncio.create_task(
            patient.pipe(client.remote(Draw).sketch, client.remote(Ink).wash)("cat")
        )
        await until_found(lambda: raw.waiting("leveret.ink.wash"), 1, "it waits at stage 2")
        await raw.channel.call(methods.Queue.Purge(queue="leveret.ink.wash"))
        async with other_host.serving(ink):
            assert await call == "CAT"
    assert len(draw.ran) > 1
    assert set(ink.ran) == {"cat"}


async def test_a_client_that_reconnects_hears_of_a_later_stage(
    client: Rabbit, host: Rabbit
) -> None:
    ink = Ink()
    ink.opened.clear()
    async with host.serving(Draw(), ink):
        pipe = client.pipe(client.remote(Draw).line, client.remote(Ink).fill)
        call = asyncio.create_task(pipe("cat"))
        await until(lambda: ink.ran == ["cat"], "the second stage runs")
        crash(client)
        ink.opened.set()
        async with at_once():
            assert await call == "CAT"
    assert ink.ran == ["cat"]


# -- servers that die between two stages, and servers of before -----------------------------------


@pytest.mark.parametrize(("second", "runs"), [("wash", 2), ("fill", 1)])
async def test_a_connection_that_breaks_while_a_result_is_passed_on_costs_nothing(
    client: Rabbit,
    host: Rabbit,
    other_host: Rabbit,
    monkeypatch: pytest.MonkeyPatch,
    second: str,
    runs: int,
) -> None:
    """Its server does not know whether the broker has the next request."""
    draw, ink = Draw(), Ink()
    confirmed: list[int] = []

    def hold(_requests: NextRequests, number: int, _multiple: bool, _ok: bool) -> None:
        confirmed.append(number)

    async with host.serving(draw), other_host.serving(ink):
        with monkeypatch.context() as held:
            held.setattr(NextRequests, "_on_confirm", hold)
            pipe = client.pipe(client.remote(Draw).line, getattr(client.remote(Ink), second))
            call = asyncio.create_task(pipe("cat"))
            await until(lambda: bool(confirmed), "the broker has the next request")
        crash(host)
        assert await call == "CAT"
        await until(lambda: len(ink.ran) == runs, "what may run again does")
        await until_found(
            lambda: waiting(other_host, "leveret.draw.line"), 0, "the first stage is settled"
        )
    assert draw.ran == ["cat"]
    assert len(ink.ran) == runs


def next_request(delivery: Delivery, body: bytes) -> Next:
    """What a server publishes that took this request."""
    request = read_request(delivery, 0.0, 30.0)
    return Next(request=request, body=body, seconds=30, user="", own_user="", resent=False)


async def die_after_passing_on(raw: RawPeer, delivery: Delivery, body: bytes) -> None:
    """Publish the next request, and vanish before the request of this stage is acknowledged."""
    frames = pack_next(
        next_request(delivery, body),
        channel=raw.channel.number,
        frame_max=raw.connection.frame_max,
    )
    raw.connection.send(frames)
    await raw.flushed()
    raw.crash()


async def test_a_stage_that_is_run_again_has_its_next_one_run_again_if_that_does_no_harm(
    client: Rabbit, host: Rabbit, other_host: Rabbit, raw: RawPeer
) -> None:
    ink = Ink()
    ink.opened.clear()
    async with host.serving(Draw()):
        pass
    async with other_host.serving(ink):
        taken = await raw.take("leveret.draw.sketch")
        patient = client.with_options(wait_for_server=True)
        call = asyncio.create_task(
            patient.pipe(client.remote(Draw).sketch, client.remote(Ink).wash)("cat")
        )
        delivery = await taken.get()
        # It serves before: to a server that comes later the request is old, and a client that has
        # heard of the second stage by then does not answer for the first.
        async with host.serving(Draw()):
            await die_after_passing_on(raw, delivery, b'{"name":"cat"}')
            await until(lambda: ink.ran == ["cat", "cat"], "the second copy runs as well")
            ink.opened.set()
            assert await call == "CAT"


async def test_a_stage_that_must_not_run_twice_is_not_run_for_a_second_copy(
    client: Rabbit, host: Rabbit, other_host: Rabbit, raw: RawPeer
) -> None:
    ink = Ink()
    ink.opened.clear()
    async with host.serving(Draw()):
        pass
    async with other_host.serving(ink):
        taken = await raw.take("leveret.draw.sketch")
        patient = client.with_options(wait_for_server=True)
        call = asyncio.create_task(
            patient.pipe(client.remote(Draw).sketch, client.remote(Ink).fill)("cat")
        )
        delivery = await taken.get()
        async with host.serving(Draw()):  # before it dies, as above
            await die_after_passing_on(raw, delivery, b'{"name":"cat"}')
            with pytest.raises(MaybeExecuted) as caught:
                await call
            assert (caught.value.stage, caught.value.executed) == (2, "maybe")
            ink.opened.set()
    assert ink.ran == ["cat"]


async def test_a_stage_that_may_have_been_passed_on_does_not_end_the_pipe(
    client: Rabbit, host: Rabbit, other_host: Rabbit, raw: RawPeer
) -> None:
    """Another server refuses the first stage; the client knows that the pipe is past it."""
    ink = Ink()
    ink.opened.clear()
    async with host.serving(Draw()):
        pass
    async with other_host.serving(ink):
        taken = await raw.take("leveret.draw.line")
        patient = client.with_options(wait_for_server=True)
        call = asyncio.create_task(
            patient.pipe(client.remote(Draw).line, client.remote(Ink).fill)("cat")
        )
        delivery = await taken.get()
        raw.answer(delivery, b"", type="passed", headers={"stage": 2})
        await die_after_passing_on(raw, delivery, b'{"name":"cat"}')
        async with host.serving(Draw()):
            await until_found(
                lambda: waiting(host, "leveret.draw.line"), 0, "the request is answered"
            )
            ink.opened.set()
            assert await call == "CAT"
    assert ink.ran == ["cat"]


async def waiting(host: Rabbit, queue: str) -> int:
    channel = await host.calls.connection.open_channel()
    found = await channel.look_at_queue(queue)
    await channel.close()
    return found.message_count or 0


@pytest.mark.parametrize("knows", ["content types", "nothing"])
async def test_a_server_that_knows_no_pipes_is_named(
    client: Rabbit, host: Rabbit, raw: RawPeer, knows: str
) -> None:
    """Servers of before refuse the content type; others may not even look at it."""

    def answer(delivery: Delivery) -> None:
        if knows == "nothing":
            raw.answer(delivery, b'"CAT"')
        else:
            error = b'{"code":"INVALID_ARGUMENT","message":"unknown content type","executed":"no"}'
            raw.answer(delivery, error, type="error")

    async with host.serving(Ink()):
        pass
    async with host.serving(Draw()):
        await raw.channel.consume("leveret.ink.fill", answer)
        with pytest.raises(Unimplemented, match="stage 2 of the pipe, know no pipes") as caught:
            await client.pipe(client.remote(Draw).line, client.remote(Ink).fill)("cat")
        assert (caught.value.stage, caught.value.method) == (2, "ink.fill")
        assert caught.value.executed == ("yes" if knows == "nothing" else "maybe")


async def test_a_request_of_a_pipe_is_no_call_to_a_server_of_before(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Draw()), host.serving(Ink()):
        pass
    taken = await raw.take("leveret.draw.line")
    patient = client.with_options(wait_for_server=True)
    pipe = patient.pipe(client.remote(Draw).line, client.remote(Ink).fill)
    call = asyncio.create_task(pipe("cat"))
    delivery = await taken.get()
    assert delivery.properties.content_type == "application/vnd.leveret.stage"
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


# -- whose stage it is ----------------------------------------------------------------------------


async def test_a_stage_is_its_callers_not_that_of_the_server_before_it(
    broker: Broker, host: Rabbit
) -> None:
    """Who may call a stage is judged by the caller; where nobody knows who that is, it may not."""
    users = Users(broker)
    caller, between = f"caller-{secrets.token_hex(4)}", f"server-{secrets.token_hex(4)}"
    ink = Ink()
    async with users.connect(caller) as client, users.connect(between) as other:
        pipe = client.pipe(client.remote(Draw).line, client.remote(Ink).fill)
        async with other.serving(Draw()):
            trust = [between]
            async with host.serving(ink, allow={"ink": [caller]}, trusted_servers=trust):
                assert await pipe("cat") == "CAT"
            assert ink.users == [caller]
            async with host.serving(ink, allow={"ink": [between]}, trusted_servers=trust):
                with pytest.raises(PermissionDenied, match=f"user '{caller}' may not") as denied:
                    await pipe("dog")
                assert (denied.value.stage, denied.value.executed) == (2, "maybe")
            async with host.serving(ink, allow={"ink": [between]}):
                with pytest.raises(PermissionDenied, match="does not say which user"):
                    await pipe("emu")
    assert ink.ran == ["cat"]


# -- what is refused before anything is sent ------------------------------------------------------


async def test_what_does_not_fit_is_refused_before_anything_is_sent(client: Rabbit) -> None:
    draw, ink, press = client.remote(Draw), client.remote(Ink), client.remote(Press)
    make: Any = client.pipe
    with pytest.raises(ContractError, match=r"press\.count does not give what ink\.fill takes"):
        make(press.count, ink.fill)
    with pytest.raises(InvalidArgument, match="2 to 16 stages; got 1"):
        make(draw.line)
    with pytest.raises(InvalidArgument, match="2 to 16 stages; got 17"):
        make(draw.line, *[ink.fill] * 16)
    with pytest.raises(InvalidArgument, match="takes a method of a remote"):
        make(draw.line, print)
    with pytest.raises(InvalidArgument, match="takes a method of a remote"):
        make(draw.line, client.plain("rpc_queue"))
    options: list[dict[str, Any]] = [
        {"if_busy": "fail"},
        {"content_type": "text/plain"},
        {"idempotency_key": "k" * 253},
        {"priority": 3},
    ]
    for given in options:
        made: Any = client.with_options(**given).pipe
        with pytest.raises(InvalidArgument):
            made(draw.line, ink.fill)
    with pytest.raises(InvalidArgument, match="options of its own"):
        make(draw.line, ink.with_options(metadata={"a": "b"}).fill)
    assert client.calls.sent == 0


async def test_a_stage_of_another_connection_is_refused(client: Rabbit, host: Rabbit) -> None:
    with pytest.raises(InvalidArgument, match="belongs to another connection"):
        client.pipe(client.remote(Draw).line, host.remote(Ink).fill)


async def test_middleware_sees_a_pipe_as_one_call(rabbitmq_url: str, host: Rabbit) -> None:
    seen: list[tuple[str, dict[str, Any], float]] = []

    async def watch(call: OutgoingCall, call_next: Callable[[OutgoingCall], Any]) -> Any:
        seen.append((call.method, call.arguments, call.timeout))
        call.arguments["name"] = "dog"
        return await call_next(call)

    async with (
        leveret.connect(rabbitmq_url, middleware=[watch]) as client,
        host.serving(Draw(), Ink()),
    ):
        pipe = client.pipe(client.remote(Draw).line, client.remote(Ink).fill)
        assert await pipe("cat") == "DOG"
    assert seen == [("draw.line|ink.fill", {"name": "dog"}, 60.0)]


async def test_a_discovered_method_is_a_stage_as_well(client: Rabbit, host: Rabbit) -> None:
    async with host.serving(Draw(), Press()):
        draw, press = await client.discover("draw"), await client.discover("press")
        assert await client.pipe(draw.line, press.count, press.double)("cat") == 6
        with pytest.raises(ContractError, match="integer is not string"):
            client.pipe(press.count, draw.line)


async def test_a_pipe_is_retried_as_a_whole(client: Rabbit, host: Rabbit) -> None:
    draw, ink = Draw(), Ink()
    twice = client.with_options(retry=leveret.Retry(attempts=2, backoff=0.01))
    pipe = twice.pipe(client.remote(Draw).sketch, client.remote(Ink).wash)
    async with host.serving(draw):
        async with host.serving(Ink()):
            pass
        with pytest.raises(NoServer) as caught:
            await pipe("cat")
        assert (caught.value.stage, caught.value.attempts) == (2, 2)
    assert draw.ran == ["cat", "cat"]
    assert not ink.ran
