"""Requests that go out again, with what is left of their time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from leveret.body_parts import Body
from leveret.client.calls.life import Act, Event, Pending, State
from leveret.client.calls.resends import Resends
from leveret.errors import InvalidArgument, LeveretError
from leveret.wire.dialect import ClientChannel
from leveret.wire.timing import PROBE_AFTER
from tests.unit.client.calls.making import CHANNEL, HandLoop, a_call, found


class Publisher:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.outgoing: ClientChannel = CHANNEL
        self.sent: list[tuple[Pending, float, Body, bytes]] = []

    def publish(self, call: Pending, timeout: float, body: Body, headers: bytes) -> None:
        self.sent.append((call, timeout, body, headers))


class Scene:
    def __init__(self) -> None:
        self.loop = HandLoop(now=100.0)
        self.publisher = Publisher()
        self.is_open = True
        self.fired: list[tuple[Event, LeveretError | None]] = []
        self.resends = Resends(
            self.loop, self.publisher, fire=self._fire, is_open=lambda: self.is_open
        )

    def _fire(self, call: Pending, event: Event, cause: LeveretError | None = None) -> Act:
        self.fired.append((event, cause))
        return Act.NOTHING

    def call(self, state: State = State.QUIET, **options: Any) -> Pending:
        call = a_call(**options)
        call.state = state
        return call

    @property
    def events(self) -> list[Event]:
        return [event for event, _ in self.fired]


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_a_request_is_sent_with_what_is_left_of_its_time(scene: Scene) -> None:
    call = scene.call(idempotent=True)
    scene.loop.now += 4
    scene.resends.publish(call)
    assert scene.publisher.sent == [(call, 6.0, b"{}", b"")]


async def test_a_second_copy_says_so_where_only_its_key_makes_it_harmless(scene: Scene) -> None:
    call = scene.call(keyed=True)
    scene.resends.publish(call)
    scene.resends.publish_doubtful(call)
    call.ensure_trouble().key = "leveret.reply.before/1"
    scene.resends.publish_doubtful(call)
    plain, resent, keyed = [headers for *_, headers in scene.publisher.sent]
    assert plain == b""
    assert b"resent" in resent
    assert b"leveret.reply.before/1" in keyed


async def test_it_is_packed_for_the_channel_of_now(scene: Scene) -> None:
    call = scene.call()
    scene.publisher.outgoing = msgspec.structs.replace(CHANNEL, number=7)
    scene.resends.publish(call)
    assert call.request.channel is scene.publisher.outgoing


async def test_one_that_fits_no_more_ends(scene: Scene) -> None:
    call = scene.call()
    call.headers = b"x" * 5000
    scene.publisher.outgoing = msgspec.structs.replace(CHANNEL, frame_max=4096)
    scene.resends.publish(call)
    ((event, cause),) = scene.fired
    assert event is Event.UNPACKABLE
    assert isinstance(cause, InvalidArgument)
    assert not scene.publisher.sent


async def test_a_pause_is_short_where_servers_listen(scene: Scene) -> None:
    soon, later = scene.call(State.DELAYED), scene.call(State.DELAYED)
    soon.route.probed(found(1))
    scene.resends.publish_later(soon)
    scene.resends.publish_later_doubtful(later)
    await scene.loop.advance(0.06)
    assert scene.events == [Event.RESEND]
    await scene.loop.advance(PROBE_AFTER)
    assert scene.events == [Event.RESEND, Event.RESEND_DOUBTFUL]


async def test_a_delayed_request_waits_until_requests_may_go(scene: Scene) -> None:
    scene.is_open = False
    scene.resends.publish_later(scene.call(State.DELAYED))
    await scene.loop.advance(2 * PROBE_AFTER)
    assert not scene.fired
    scene.is_open = True
    await scene.loop.advance(PROBE_AFTER)
    assert scene.events == [Event.RESEND]


async def test_what_waits_for_a_channel_goes_out_with_it(scene: Scene) -> None:
    waits, goes_on = scene.call(State.UNSENT), scene.call(State.RUNNING)
    scene.resends.send_unsent([waits, goes_on])
    assert scene.events == [Event.SENDABLE_DOUBTFUL]


async def test_of_a_request_that_came_back_before_no_server_can_have_a_copy(scene: Scene) -> None:
    back = scene.call(State.UNSENT)
    back.ensure_trouble().back_at = 99.0
    scene.resends.send_unsent([back])
    assert scene.events == [Event.SENDABLE]


async def test_a_later_copy_says_so_too_where_an_earlier_one_may_be_at_a_server(
    scene: Scene,
) -> None:
    call = scene.call(keyed=True)
    call.doubt()
    scene.resends.publish(call)
    ((_, _, _, headers),) = scene.publisher.sent
    assert b"resent" in headers


async def test_a_key_of_another_user_is_not_sent_again(scene: Scene) -> None:
    call = scene.call(State.SOUGHT)
    call.ensure_trouble().key = None
    scene.resends.send_missing(call)
    assert scene.events == [Event.KEY_LOST]


async def test_a_call_without_time_or_at_its_end_is_left_alone(scene: Scene) -> None:
    scene.resends.send_missing(scene.call(State.ENDED))
    late = scene.call(State.SOUGHT)
    scene.loop.now += 10
    scene.resends.send_missing(late)
    assert not scene.fired
