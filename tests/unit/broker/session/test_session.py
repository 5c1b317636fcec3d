from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.amqp import frames, methods
from leveret.amqp.codes import PROTOCOL_HEADER
from leveret.amqp.events import Ack, Content, Method
from leveret.broker.limits import Limits
from leveret.broker.model.clock import Clock
from leveret.broker.node import Node
from leveret.broker.permissions import Permissions, User
from tests.unit.amqp.strategies import FAST
from tests.unit.broker.world import Client, new_node, start_ok


@pytest.fixture
def node() -> Node:
    return new_node()


def declare(client: Client, queue: str = "q", **arguments: Any) -> None:
    given = {name.replace("_", "-"): value for name, value in arguments.items()}
    client.ask(methods.Queue.Declare(queue=queue, arguments=given))


# -- handshake -----------------------------------------------------------------------------------


def test_another_protocol_is_told_which_one_is_spoken(node: Node) -> None:
    client = Client(node)
    client.send_bytes(b"GET / HTTP/1.1\r\n\r\n")
    assert client.heard() == PROTOCOL_HEADER
    assert client.socket.closed


def test_a_protocol_header_may_come_octet_by_octet(node: Node) -> None:
    client = Client(node)
    for octet in PROTOCOL_HEADER:
        client.send_bytes(bytes((octet,)))
    (start,) = client.received()
    assert isinstance(start, Method)
    assert isinstance(start.method, methods.Connection.Start)
    assert start.method.mechanisms.split() == ["AMQPLAIN", "PLAIN"]


def test_a_wrong_password_is_told_to_who_understands_it(node: Node) -> None:
    client = Client(node)
    client.send_bytes(PROTOCOL_HEADER)
    client.received()
    close = client.ask(
        start_ok(password="wrong", capabilities={"authentication_failure_close": True}), 0
    )
    assert (close.reply_code, "Login was refused" in close.reply_text) == (403, True)


def test_a_wrong_password_ends_the_connection_of_who_does_not(node: Node) -> None:
    client = Client(node)
    client.send_bytes(PROTOCOL_HEADER)
    client.received()
    client.send(0, start_ok(password="wrong"))
    assert (client.received(), client.socket.closed) == ([], True)


@pytest.mark.parametrize("tune", [(0, 131_072), (4000, 131_072), (100, 0), (100, 100)])
def test_what_exceeds_the_offer_ends_the_handshake(node: Node, tune: tuple[int, int]) -> None:
    client = Client(node)
    client.send_bytes(PROTOCOL_HEADER)
    client.send(0, start_ok())
    client.received()
    client.send(0, methods.Connection.TuneOk(channel_max=tune[0], frame_max=tune[1]))
    assert client.socket.closed


# -- refusals ------------------------------------------------------------------------------------


def test_a_refused_method_closes_its_channel_and_no_other(node: Node) -> None:
    client = Client.opened(node)
    client.send(2, methods.Channel.Open())
    client.received()
    close = client.ask(methods.Queue.Declare(queue="nope", passive=True))
    assert (close.reply_code, close.reply_text, close.class_id, close.method_id) == (
        404,
        "NOT_FOUND - no queue 'nope' in vhost '/'",
        50,
        10,
    )
    assert client.ask(methods.Queue.Declare(queue="q"), 2).queue == "q"


def test_what_comes_on_a_closed_channel_is_dropped_until_the_client_knows(node: Node) -> None:
    client = Client.opened(node)
    client.ask(methods.Queue.Declare(queue="nope", passive=True))
    client.send(1, methods.Queue.Declare(queue="q"))
    assert client.received() == []
    client.send(1, methods.Channel.CloseOk())
    client.send(1, methods.Channel.Open())
    client.received()
    assert client.ask(methods.Queue.Declare(queue="q")).message_count == 0


def test_a_method_on_a_channel_that_is_not_open_ends_the_connection(node: Node) -> None:
    client = Client.opened(node)
    client.send(7, methods.Queue.Declare(queue="q"))
    (close,) = client.received()
    assert isinstance(close, Method)
    assert isinstance(close.method, methods.Connection.Close)
    assert close.method.reply_text == "CHANNEL_ERROR - expected 'channel.open'"
    client.send(0, methods.Connection.CloseOk())
    assert client.socket.closed


def test_channels_beyond_the_negotiated_number_end_the_connection() -> None:
    node = new_node(channel_max=2047)
    client = Client.opened(node)
    for number in range(2, 2048):
        client.send(number, methods.Channel.Open())
    client.received()
    client.send(2048, methods.Channel.Open())
    (close,) = client.received()
    assert isinstance(close, Method)
    assert isinstance(close.method, methods.Connection.Close)
    assert close.method.reply_code == 530


def test_rights_are_asked_for_before_anything_is_told() -> None:
    rights = {"/": Permissions(configure="^mine", write="^mine", read="^$")}
    node = Node({"guest": User(password="guest", permissions=rights)}, ("/",), Limits(), Clock(0.0))
    client = Client.opened(node)
    close = client.ask(methods.Queue.Declare(queue="other"))
    assert close.reply_text == (
        "ACCESS_REFUSED - access to queue 'other' in vhost '/' refused for user 'guest'"
    )


# -- publishing ----------------------------------------------------------------------------------


def test_confirms_of_one_read_are_joined_and_come_after_returns(node: Node) -> None:
    client = Client.opened(node)
    client.ask(methods.Confirm.Select())
    declare(client)
    one = frames.publish_prefix(1, "", "q") + frames.content_frames(1, b"\0\0", b"x", 0)
    lost = frames.publish_prefix(1, "", "nowhere", mandatory=True)
    lost += frames.content_frames(1, b"\0\0", b"y", 0)
    client.send_bytes(one + lost + one)
    returned, ack = client.received()
    assert isinstance(returned, Content)
    assert isinstance(returned.method, methods.Basic.Return)
    assert returned.method.reply_text == "NO_ROUTE"
    assert ack == Ack(1, 3, True)


def test_bcc_is_routed_and_taken_out(node: Node) -> None:
    client = Client.opened(node)
    for name in ("a", "b", "c"):
        declare(client, name)
    client.publish("a", b"x", headers={"CC": ["b"], "BCC": ["c"], "k": 1})
    for name in ("a", "b", "c"):
        client.send(1, methods.Basic.Get(queue=name, no_ack=True))
        (got,) = client.received()
        assert isinstance(got, Content)
        assert got.properties.headers == {"CC": ["b"], "k": 1}


USES = {
    "get": methods.Basic.Get(queue="q"),
    "a passive declare": methods.Queue.Declare(queue="q", passive=True),
    "a declare": methods.Queue.Declare(queue="q", arguments={"x-expires": 1000}),
}


@pytest.mark.parametrize("use", USES)
def test_a_queue_that_is_used_does_not_expire(node: Node, use: str) -> None:
    client = Client.opened(node)
    declare(client, x_expires=1000)
    queue = node.vhosts["/"].queues["q"]
    for _ in range(3):
        node.clock.tick(node.clock.now + 0.9)
        client.ask(USES[use])
    assert not queue.deleted
    node.clock.tick(node.clock.now + 1.1)
    assert queue.deleted


def test_a_queue_expires_after_the_channel_of_its_last_consumer_closed(node: Node) -> None:
    client = Client.opened(node)
    declare(client, x_expires=1000)
    queue = node.vhosts["/"].queues["q"]
    client.ask(methods.Basic.Consume(queue="q"))
    node.clock.tick(node.clock.now + 5)
    client.ask(methods.Channel.Close(reply_code=200, reply_text=""))
    node.clock.tick(node.clock.now + 0.9)
    assert not queue.deleted
    node.clock.tick(node.clock.now + 0.2)
    assert queue.deleted


@pytest.mark.parametrize("impersonator", [False, True])
def test_an_impersonator_publishes_under_any_name(impersonator: bool) -> None:
    user = User(password="guest", impersonator=impersonator)
    node = Node({"guest": user}, ("/",), Limits(), Clock(100.0))
    client = Client.opened(node)
    declare(client)
    client.publish("q", b"x", user_id="somebody else")
    assert node.vhosts["/"].queues["q"].ready == impersonator


def test_a_direct_reply_comes_to_the_channel_that_asked(node: Node) -> None:
    client, server = Client.opened(node), Client.opened(node)
    declare(server)
    client.ask(methods.Basic.Consume(queue="amq.rabbitmq.reply-to", no_ack=True))
    client.publish("q", b"question", reply_to="amq.rabbitmq.reply-to")
    server.send(1, methods.Basic.Get(queue="q", no_ack=True))
    (question,) = server.received()
    assert isinstance(question, Content)
    server.publish(question.properties.reply_to or "", b"answer")
    assert client.bodies() == [b"answer"]


# -- delivering ----------------------------------------------------------------------------------


def test_what_a_lost_connection_had_goes_to_the_next(node: Node) -> None:
    one, other = Client.opened(node), Client.opened(node)
    declare(one)
    one.ask(methods.Basic.Consume(queue="q"))
    one.publish("q", b"x")
    assert one.bodies() == [b"x"]
    other.ask(methods.Basic.Consume(queue="q"))
    one.session.lost()
    (again,) = other.received()
    assert getattr(again, "redelivered", False)


def test_a_client_that_takes_nothing_gets_no_more_than_the_bound() -> None:
    node = new_node(output=10_000)
    deaf, other = Client.opened(node), Client.opened(node)
    declare(deaf)
    deaf.ask(methods.Basic.Consume(queue="q", no_ack=True))
    for _ in range(100):
        other.publish("q", bytes(1000))
    assert deaf.session.output.size < 15_000
    count = 0
    while bodies := deaf.bodies():
        count += len(bodies)
    assert count == 100


def test_a_client_that_only_asks_is_handled_no_faster_than_it_listens() -> None:
    node = new_node(output=10_000)
    client = Client.opened(node)
    declare(client)
    for _ in range(50):
        client.publish("q", bytes(1000))
    get = frames.method_frame(1, methods.Basic.Get(queue="q", no_ack=True))
    client.send_bytes(get * 50)
    assert client.session.output.size < 15_000
    assert client.session.stalled
    count = 0
    while bodies := client.bodies():
        count += len(bodies)
    assert count == 50


def test_exclusive_queues_go_with_their_connection(node: Node) -> None:
    client, other = Client.opened(node), Client.opened(node)
    client.ask(methods.Queue.Declare(queue="mine", exclusive=True))
    look = methods.Queue.Declare(queue="mine", passive=True)
    assert other.ask(look).reply_code == 405
    client.send(0, methods.Connection.Close(reply_code=200, reply_text="bye"))
    assert "mine" not in node.vhosts["/"].queues


# -- hostile -------------------------------------------------------------------------------------


FRAGMENTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            frames.method_frame(1, methods.Basic.Consume(queue="q")),
            frames.method_frame(1, methods.Basic.Get(queue="q")),
            frames.method_frame(1, methods.Queue.Delete(queue="q")),
            frames.method_frame(1, methods.Channel.Close(reply_code=200, reply_text="")),
            frames.method_frame(1, methods.Channel.Open()),
            frames.method_frame(1, methods.Tx.Select()),
            frames.method_frame(1, methods.Confirm.Select()),
            frames.method_frame(0, methods.Connection.Close(reply_code=200, reply_text="")),
            frames.publish_prefix(1, "", "q") + frames.content_frames(1, b"\0\0", b"x", 0),
            frames.publish_prefix(1, "", "q"),
            frames.ack(1, 1),
            frames.ack(1, 0, multiple=True),
            frames.nack(1, 1),
            frames.nack(1, 0, multiple=True, requeue=False),
        ]
    ),
)


@FAST
@given(st.lists(FRAGMENTS, max_size=20), st.booleans())
def test_no_bytes_break_the_broker_or_its_other_clients(
    parts: list[bytes], logged_in: bool
) -> None:
    node = new_node()
    witness = Client.opened(node)
    declare(witness, "q", x_dead_letter_exchange="", x_max_length=3)
    hostile = Client.opened(node) if logged_in else Client(node)
    for part in parts:
        hostile.send_bytes(part)
    hostile.session.lost()
    witness.received()
    declare(witness, "other")
    witness.publish("other", b"still here")
    witness.send(1, methods.Basic.Get(queue="other", no_ack=True))
    assert witness.bodies() == [b"still here"]
