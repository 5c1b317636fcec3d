from __future__ import annotations

from leveret.amqp import frames, methods
from leveret.amqp.events import Content, Delivery
from leveret.amqp.parser import Parser
from leveret.amqp.properties import Properties, encode_properties
from leveret.broker.model.memory import Memory
from leveret.broker.session.output import Output
from tests.unit.amqp.deliveries import deliver_frame

PROPERTIES = encode_properties(Properties(correlation_id="1"))


class Written:
    """An output, its memory, and how often it had a first frame."""

    def __init__(self, limit: int = 1000) -> None:
        self.memory = Memory(2**30, lambda alarmed: None)
        self.firsts = 0
        self.output = Output(self.memory, limit, self._first)

    def _first(self) -> None:
        self.firsts += 1


def test_the_first_frame_after_each_write_is_told_of() -> None:
    written = Written()
    for _ in range(2):
        written.output.send(frames.HEARTBEAT)
        written.output.send_method(0, methods.Connection.CloseOk())
        assert written.output.waiting
        written.output.take()
    assert written.firsts == 2
    assert not written.output.waiting


def test_a_message_is_cut_into_frames_of_the_agreed_size() -> None:
    output = Written().output
    output.frame_max = 4096
    body = bytes(range(256)) * 64
    output.send(deliver_frame(1, "c", 1, False, "", "q"))
    output.send_content(1, PROPERTIES, body)
    data = output.take()
    (delivery,) = Parser(frame_max=4096).receive(data)
    assert isinstance(delivery, Delivery | Content)
    assert delivery.body == body
    assert delivery.properties.correlation_id == "1"


def test_an_empty_body_has_no_frame() -> None:
    output = Written().output
    output.send(deliver_frame(1, "c", 1, False, "", "q"))
    output.send_content(1, PROPERTIES, b"")
    (delivery,) = Parser().receive(output.take())
    assert isinstance(delivery, Delivery)
    assert delivery.body == b""


def test_messages_beyond_the_limit_leave_no_room_until_half_of_it_is_free() -> None:
    written = Written(limit=1000)
    output = written.output
    output.send_content(1, PROPERTIES, bytes(1000))
    assert not output.room
    assert not output.written(501)
    assert not output.room
    assert output.written(500)
    assert output.room
    assert not output.written(0), "there was room already"


def test_memory_counts_what_waits_here_or_in_the_socket() -> None:
    written = Written()
    written.output.send_content(1, PROPERTIES, bytes(100))
    assert written.memory.used == written.output.size > 100
    written.output.written(70)
    assert written.memory.used == 70
    written.output.drop()
    assert written.memory.used == 0


def test_what_is_dropped_is_not_written_and_leaves_no_room() -> None:
    output = Written().output
    output.send(frames.HEARTBEAT)
    output.drop()
    assert (output.take(), output.room) == (b"", False)
