"""A broker's parts without its sockets, and a client that talks to it in bytes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from leveret.amqp import frames, methods
from leveret.amqp.codes import PROTOCOL_HEADER
from leveret.amqp.events import Content, Delivery, Event, Method
from leveret.amqp.parser import Parser
from leveret.amqp.properties import Properties, encode_properties
from leveret.broker.limits import Limits
from leveret.broker.model.clock import Clock
from leveret.broker.model.consumers import Consumer
from leveret.broker.model.memory import Memory
from leveret.broker.model.messages import Entry, Message
from leveret.broker.model.queues import Queue
from leveret.broker.model.vhost import VHost
from leveret.broker.node import Node
from leveret.broker.permissions import Permissions, Rights, User
from leveret.broker.session.batch import Batch
from leveret.broker.session.channel import Channel, ChannelContext
from leveret.broker.session.output import Output
from leveret.broker.session.received import Published


def message(body: str = "", key: str = "q", exchange: str = "", **properties: Any) -> Message:
    made = Properties(**properties)
    return Message(exchange, (key,), made, encode_properties(made), body.encode())


class Taker:
    """A channel that notes what is delivered; it has room for `room` more."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.taken: list[tuple[str, Entry]] = []
        self.gone: list[str] = []

    def has_room(self) -> bool:
        return self.room > 0

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        self.room -= 1
        self.taken.append((consumer.tag, entry))

    def on_queue_deleted(self, consumer: Consumer) -> None:
        self.gone.append(consumer.tag)

    @property
    def bodies(self) -> str:
        return "".join(entry.message.body.decode() for _, entry in self.taken)

    @property
    def tags(self) -> str:
        return "".join(tag for tag, _ in self.taken)


class World:
    """One vhost, its clock and its memory."""

    def __init__(self) -> None:
        self.clock = Clock(100.0, wall=lambda: 1_700_000_000.5)
        self.memory = Memory(2**30, lambda alarmed: None)
        self.vhost = VHost("/", self.clock, self.memory)

    def queue(self, name: str = "q", **arguments: Any) -> Queue:
        """A queue; x_max_length=1 is the argument x-max-length."""
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        quorum = given.get("x-queue-type") == "quorum"
        return self.vhost.declare_queue(name, None, durable=quorum, arguments=given)

    def publish(self, *messages: Message) -> None:
        """Publish to the exchanges that they name."""
        for one in messages:
            for queue in self.vhost.router.route(self.vhost.exchange(one.exchange), one):
                queue.publish(one)
        self.vhost.publish_dead_letters()

    def fill(self, queue: Queue, bodies: str, **properties: Any) -> None:
        """Publish one message for each letter."""
        for body in bodies:
            queue.publish(message(body, queue.name, **properties))
        self.vhost.publish_dead_letters()

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.tick(self.clock.now + seconds)
        self.vhost.publish_dead_letters()

    def drained(self, name: str = "q") -> str:
        """The bodies that wait in a queue, which is empty then."""
        queue = self.vhost.queue(name)
        bodies = ""
        while (entry := queue.get(no_ack=True)) is not None:
            bodies += entry.message.body.decode()
        return bodies


class FakeSocket:
    """A socket that remembers what was asked of it."""

    def __init__(self) -> None:
        self.closed = False
        self.reading = True

    def write(self) -> None:
        """Nothing: a test takes the output itself."""

    def close(self) -> None:
        self.closed = True

    def close_in_time(self) -> None:
        pass

    def read(self, wanted: bool) -> None:
        self.reading = wanted


class Client:
    """Talks to a session in bytes, and reads what it answers."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.socket = FakeSocket()
        self.session = node.open_session(self.socket, "test")
        self._parser = Parser()

    @classmethod
    def opened(cls, node: Node, **capabilities: bool) -> Client:
        """One past the handshake, with channel 1 open."""
        client = cls(node)
        client.send_bytes(PROTOCOL_HEADER)
        client.send(0, start_ok(capabilities=capabilities))
        client.send(0, methods.Connection.TuneOk(channel_max=2047, frame_max=131_072, heartbeat=0))
        client.send(0, methods.Connection.Open(virtual_host="/"))
        client.send(1, methods.Channel.Open())
        client.received()
        return client

    def send_bytes(self, data: bytes) -> None:
        self.session.receive(data)
        self.node.end_pass()

    def send(self, channel: int, method: Any) -> None:
        self.send_bytes(frames.method_frame(channel, method))

    def publish(self, key: str, body: bytes = b"", channel: int = 1, **options: Any) -> None:
        mandatory = options.pop("mandatory", False)
        exchange = options.pop("exchange", "")
        self.send_bytes(
            frames.publish(
                channel,
                exchange,
                key,
                Properties(**options),
                body,
                frame_max=131_072,
                mandatory=mandatory,
            )
        )

    def received(self) -> list[Event]:
        """What the broker has said since the last time; the socket takes it all."""
        return self._parser.receive(self.heard())

    def heard(self) -> bytes:
        """The bytes of what the broker has said since the last time."""
        data = self.session.output.take()
        self.node.batch.writes.clear()
        self.session.written(0)
        return data

    def ask(self, method: Any, channel: int = 1) -> Any:
        """Send a method; the broker's answer, which is to be the only thing it says."""
        self.send(channel, method)
        (event,) = self.received()
        assert isinstance(event, Method), event
        return event.method

    def bodies(self) -> list[bytes | None]:
        """The bodies of the messages that came since the last time."""
        return [event.body for event in self.received() if isinstance(event, Delivery | Content)]


def start_ok(
    user: str = "guest", password: str = "guest", capabilities: dict[str, bool] | None = None
) -> methods.Connection.StartOk:
    return methods.Connection.StartOk(
        client_properties={"capabilities": dict(capabilities or {})},
        mechanism="PLAIN",
        response=f"\0{user}\0{password}",
    )


def new_node(**limits: Any) -> Node:
    return Node({"guest": User(password="guest")}, ("/",), Limits(**limits), Clock(100.0))


def new_channel(number: int = 7, permissions: Permissions | None = None) -> Channel:
    """A channel without a session, in a vhost of its own; without permissions it may do all."""
    world = World()
    context = ChannelContext(
        connection=object(),
        vhost=world.vhost,
        user=User(password="guest"),
        user_name="guest",
        rights=Rights("guest", "/", permissions or Permissions()),
        output=Output(world.memory, 1_000_000, lambda: None),
        batch=Batch(),
        channels_of=Counter(),
        max_message_size=1_000_000,
        cancel_notify=True,
    )
    return Channel(context, number)


def published(
    key: str, body: bytes = b"", *, mandatory: bool = False, immediate: bool = False
) -> Published:
    """A publish to the default exchange."""
    return Published(7, "", key, mandatory, immediate, Properties(), b"\0\0", body, len(body))


def answers(channel: Channel) -> list[object]:
    """What waits to be sent to the client of a channel: methods, messages and confirms."""
    events = Parser().receive(channel.output.take())
    return [event.method if isinstance(event, Method) else event for event in events]
