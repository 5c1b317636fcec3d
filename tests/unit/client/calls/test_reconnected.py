"""What the calls in flight are told when the client has another channel, reply queue or user."""

from __future__ import annotations

from leveret.client.calls.life import Act, Event, Pending, State
from leveret.client.calls.reconnected import Reconnected
from leveret.client.calls.route import Route
from leveret.errors import ConnectionLost, LeveretError
from tests.unit.client.calls.making import a_call


class There:
    """Calls in flight, what they are told, and what servers are asked."""

    def __init__(self, *calls: Pending) -> None:
        self.told: list[tuple[str, Event]] = []
        self.errors: list[LeveretError] = []
        self.asked: dict[str, list[str]] = {}
        self.reconnected = Reconnected(
            {call.id: call for call in calls}, fire=self._fire, query=self._query
        )

    def _fire(self, call: Pending, event: Event, error: LeveretError | None = None, /) -> Act:
        self.told.append((call.id, event))
        if error is not None:
            self.errors.append(error)
        return Act.NOTHING

    def _query(self, route: Route, call_ids: list[str]) -> None:
        assert route.key not in self.asked
        self.asked[route.key] = call_ids


def test_servers_are_asked_once_for_all_calls_of_a_queue() -> None:
    route = Route("gate.once", "leveret.gate.once", "gate")
    once, again, unsent, stream, other = calls = [
        a_call(route=route),
        a_call(route=route, idempotent=True),
        a_call(route=route, idempotent=True),
        a_call(route=route),
        a_call(route=Route("tutorial", "rpc_queue")),  # whose servers cannot be asked
    ]
    unsent.state, stream.state = State.UNSENT, State.STREAMING
    there = There(*calls)
    there.reconnected.connected_again()
    assert there.asked == {"gate.once": [once.id, again.id, stream.id]}
    assert there.told == [(again.id, Event.CONNECTED_AGAIN), (stream.id, Event.RESUMES)]
    assert not there.errors
    assert other.state is State.QUIET


def test_without_the_reply_queue_only_repeatable_calls_go_on() -> None:
    once, again, one_way = a_call(), a_call(idempotent=True), a_call(one_way=True)
    there = There(once, again, one_way)
    lost = ConnectionLost("its node is down")
    there.reconnected.replies_lost("leveret.reply.a", lost)
    assert there.told == [(once.id, Event.REPLY_QUEUE_LOST), (again.id, Event.REPLY_QUEUE_GONE)]
    assert there.errors == [lost]


def test_a_call_keeps_the_key_that_it_had_with_its_reply_queue() -> None:
    call = a_call(keyed=True)
    there = There(call)
    there.reconnected.replies_lost("leveret.reply.a", ConnectionLost("its node is down"))
    there.reconnected.replies_lost("leveret.reply.b", ConnectionLost("its node is down"))
    assert call.ensure_trouble().key == f"leveret.reply.a/{call.id}"


def test_another_user_has_no_key_of_the_one_before() -> None:
    with_key, without = a_call(keyed=True), a_call(idempotent=True)
    There(with_key, without).reconnected.user_changed()
    assert with_key.ensure_trouble().key is None
    assert without.trouble is None
