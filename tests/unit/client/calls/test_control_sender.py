"""What the servers of a call are told, and when nothing is."""

from __future__ import annotations

import msgspec
import pytest

from leveret.amqp.properties import Properties
from leveret.client.calls.control_sender import ControlSender
from leveret.client.calls.route import Route
from tests.unit.client.calls.making import CHANNEL, a_call, a_pipe


class Scene:
    """A sender, and what it sent."""

    def __init__(self) -> None:
        self.now = 100.0
        self.is_open = True
        self.sent: list[tuple[str, Properties, bytes]] = []
        self.sender = ControlSender(
            send=lambda key, properties, body: self.sent.append((key, properties, body)),
            reply_to=lambda: CHANNEL.reply_to,
            is_open=lambda: self.is_open,
            time=lambda: self.now,
        )

    def words(self) -> list[tuple[str, str | None, str | None]]:
        return [(key, said.type, said.correlation_id) for key, said, _ in self.sent]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_cancel_lasts_as_long_as_its_request(scene: Scene) -> None:
    call = a_call(timeout=2.5)
    scene.sender.cancel(call)
    assert scene.words() == [("gate", "cancel", call.id)]
    (_, said, body) = scene.sent[0]
    assert (said.expiration, said.reply_to, body) == ("2500", CHANNEL.reply_to.key, b"")


def test_servers_that_hear_no_control_messages_are_told_nothing(scene: Scene) -> None:
    route = Route("queue rpc", "rpc")
    scene.sender.cancel(a_call(route=route))
    scene.sender.ask_to_bind(route)
    assert not scene.sent


def test_a_server_that_asks_is_answered(scene: Scene) -> None:
    scene.sender.confirm("gate.b47af560", "1", True)
    scene.sender.confirm("gate.b47af560", "2", False)
    assert scene.words() == [("gate.b47af560", "go", "1"), ("gate.b47af560", "cancel", "2")]


def test_a_query_asks_for_a_thousand_calls_at_a_time(scene: Scene) -> None:
    ids = [str(n) for n in range(2_500)]
    scene.sender.query(a_call().route, ids)
    assert [said.type for _, said, _ in scene.sent] == ["ask"] * 3
    bodies = [msgspec.json.decode(body, type=list[str]) for _, _, body in scene.sent]
    assert [len(body) for body in bodies] == [1000, 1000, 500]
    assert [call_id for body in bodies for call_id in body] == ids


def test_servers_are_not_asked_to_bind_again_and_again(scene: Scene) -> None:
    route = a_call().route
    scene.sender.ask_to_bind(route)
    scene.now += 0.1
    scene.sender.ask_to_bind(route)
    assert len(scene.sent) == 1
    scene.now += 0.15
    scene.sender.ask_to_bind(route)
    assert len(scene.sent) == 2


def test_nothing_is_sent_while_nothing_may_go(scene: Scene) -> None:
    scene.is_open = False
    scene.sender.cancel(a_call())
    scene.sender.query(a_call().route, ["1"])
    assert not scene.sent


def test_servers_are_asked_about_themselves(scene: Scene) -> None:
    scene.sender.inquire("info", "gate", "name", 1.0)
    assert scene.words() == [("gate", "info", "name")]
    (_, said, body) = scene.sent[0]
    assert (said.expiration, said.reply_to, body) == ("1000", CHANNEL.reply_to.key, b"")


def test_a_cancel_of_a_pipe_goes_to_its_stage_and_all_later_ones(scene: Scene) -> None:
    call = a_pipe()
    scene.sender.cancel(call)
    call.request = call.request.stages[1]
    scene.sender.cancel(call)
    assert [key for key, _, _ in scene.words()] == ["gate", "ink", "press", "ink", "press"]
