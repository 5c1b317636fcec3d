"""The methods of AMQP 0-9-1: one record per method, and all of them together are the table.

The classes are grouped as in the specification, so `Queue.Declare` is queue.declare. A record says
what the specification says of its method: the ids, the fields in the order in which they travel,
the type of each, and whether content follows. `payloads` reads and writes methods by that alone.

- The annotation of a field is its AMQP type (section 4.2.5). A `ClassVar` is a field that the
  specification reserves: it is written as its value here, and ignored when read.
- A field with a default has the value that most senders want. `queue` is then "", which names the
  queue that was last declared on the channel; in queue.declare it has the broker choose a name.
- `nowait` asks the broker for no answer. `arguments` are the `x-...` options of RabbitMQ.
- A method is synchronous if the table has its answer, the method of the same name with "-ok" (for
  basic.get also basic.get-empty).

The specification: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf
RabbitMQ's extensions: https://www.rabbitmq.com/docs/extensions
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, TypeAlias

import msgspec

Bit: TypeAlias = bool
"""Bits that follow one another share an octet."""
Octet: TypeAlias = int
Short: TypeAlias = int
"""Two octets, unsigned."""
Long: TypeAlias = int
"""Four octets, unsigned."""
LongLong: TypeAlias = int
"""Eight octets, unsigned."""
ShortStr: TypeAlias = str
"""At most 255 bytes. Bytes that are not UTF-8 are surrogate escapes, here and in `LongStr`."""
LongStr: TypeAlias = str
Table: TypeAlias = dict[str, Any]
"""A field table; see `tables`."""


class AMQPMethod(msgspec.Struct, frozen=True):
    """Any method."""

    id: ClassVar[int]
    """The id within its class."""
    index: ClassVar[int]
    """The class id in the upper 16 bits, the id in the lower: the first four octets of a frame."""
    name: ClassVar[str]
    """As the specification writes it: "queue.declare-ok"."""
    fields: ClassVar[tuple[tuple[str, str], ...]]
    """Name and type of each field, reserved ones included, in the order in which they travel."""
    reserved: ClassVar[tuple[str, ...]]
    """The names of the reserved fields."""
    answers: ClassVar[tuple[type[AMQPMethod], ...]]
    """The methods that may answer it; empty for an asynchronous method."""
    has_content: ClassVar[bool] = False
    """Whether a content header and body follow."""


class Connection:
    """Class 10: the connection as a whole, always on channel 0."""

    id: Final = 10

    class Start(AMQPMethod, frozen=True, kw_only=True):
        """The broker offers login mechanisms."""

        id = 10
        version_major: Octet = 0
        version_minor: Octet = 9
        server_properties: Table = {}
        mechanisms: LongStr
        """Separated by spaces."""
        locales: LongStr = "en_US"
        """Separated by spaces."""

    class StartOk(AMQPMethod, frozen=True, kw_only=True):
        """The client logs in."""

        id = 11
        client_properties: Table = {}
        mechanism: ShortStr
        response: LongStr
        """What the mechanism asks for: with PLAIN, "\\0user\\0password"."""
        locale: ShortStr = "en_US"

    class Secure(AMQPMethod, frozen=True, kw_only=True):
        """The broker asks for more, where the login mechanism has several steps."""

        id = 20
        challenge: LongStr

    class SecureOk(AMQPMethod, frozen=True, kw_only=True):
        """The client answers the challenge."""

        id = 21
        response: LongStr

    class Tune(AMQPMethod, frozen=True, kw_only=True):
        """The broker proposes limits; 0 is no limit."""

        id = 30
        channel_max: Short = 0
        """The highest channel number."""
        frame_max: Long = 0
        """Bytes of the largest frame, its head and end octet included."""
        heartbeat: Short = 0
        """Seconds within which each side wants to hear something; 0 for no heartbeats."""

    class TuneOk(AMQPMethod, frozen=True, kw_only=True):
        """The client chooses limits, none above the broker's; fields as in `Tune`."""

        id = 31
        channel_max: Short = 0
        frame_max: Long = 0
        heartbeat: Short = 0

    class Open(AMQPMethod, frozen=True, kw_only=True):
        """The client chooses the virtual host."""

        id = 40
        virtual_host: ShortStr
        reserved_1: ClassVar[ShortStr] = ""
        reserved_2: ClassVar[Bit] = False

    class OpenOk(AMQPMethod, frozen=True, kw_only=True):
        """The connection is ready for channels."""

        id = 41
        reserved_1: ClassVar[ShortStr] = ""

    class Close(AMQPMethod, frozen=True, kw_only=True):
        """Either side ends the connection."""

        id = 50
        reply_code: Short
        reply_text: ShortStr
        class_id: Short = 0
        """Class of the method that caused an error; 0 where none did."""
        method_id: Short = 0
        """Its id; 0 where none did."""

    class CloseOk(AMQPMethod, frozen=True, kw_only=True):
        """The other side agrees, and closes the socket."""

        id = 51

    class Blocked(AMQPMethod, frozen=True, kw_only=True):
        """The broker takes no publishes: https://www.rabbitmq.com/docs/connection-blocked."""

        id = 60
        reason: ShortStr

    class Unblocked(AMQPMethod, frozen=True, kw_only=True):
        """The broker takes publishes again."""

        id = 61

    class UpdateSecret(AMQPMethod, frozen=True, kw_only=True):
        """The client sends a new credential before the old one expires (OAuth 2 tokens)."""

        id = 70
        new_secret: LongStr
        reason: ShortStr

    class UpdateSecretOk(AMQPMethod, frozen=True, kw_only=True):
        """The broker accepts it."""

        id = 71


class Channel:
    """Class 20: one channel."""

    id: Final = 20

    class Open(AMQPMethod, frozen=True, kw_only=True):
        """The client opens a channel."""

        id = 10
        reserved_1: ClassVar[ShortStr] = ""

    class OpenOk(AMQPMethod, frozen=True, kw_only=True):
        """The channel is open."""

        id = 11
        reserved_1: ClassVar[LongStr] = ""

    class Flow(AMQPMethod, frozen=True, kw_only=True):
        """The other side is to stop or to resume sending content."""

        id = 20
        active: Bit
        """Whether it may send."""

    class FlowOk(AMQPMethod, frozen=True, kw_only=True):
        """It has done so."""

        id = 21
        active: Bit

    class Close(AMQPMethod, frozen=True, kw_only=True):
        """Either side ends the channel; fields as in `Connection.Close`."""

        id = 40
        reply_code: Short
        reply_text: ShortStr
        class_id: Short = 0
        method_id: Short = 0

    class CloseOk(AMQPMethod, frozen=True, kw_only=True):
        """The other side agrees; the number is free."""

        id = 41


class Access:
    """Class 30, of AMQP 0-9: some clients still ask for access, and RabbitMQ grants it."""

    id: Final = 30

    class Request(AMQPMethod, frozen=True, kw_only=True):
        """The client asks for access to a realm."""

        id = 10
        realm: ShortStr
        exclusive: Bit = False
        passive: Bit = True
        active: Bit = True
        write: Bit = True
        read: Bit = True

    class RequestOk(AMQPMethod, frozen=True, kw_only=True):
        """The broker grants it."""

        id = 11
        ticket: Short = 1
        """Goes into the first field of later methods, which AMQP 0-9-1 reserves."""


class Exchange:
    """Class 40: exchanges."""

    id: Final = 40

    class Declare(AMQPMethod, frozen=True, kw_only=True):
        """The client makes an exchange where there is none of this name."""

        id = 10
        reserved_1: ClassVar[Short] = 0
        exchange: ShortStr
        exchange_type: ShortStr = "direct"
        passive: Bit = False
        """Only look whether it exists."""
        durable: Bit = False
        auto_delete: Bit = False
        """Delete it with its last binding."""
        internal: Bit = False
        """Nobody may publish to it; other exchanges are bound to it."""
        nowait: Bit = False
        arguments: Table = {}

    class DeclareOk(AMQPMethod, frozen=True, kw_only=True):
        """The exchange exists."""

        id = 11

    class Delete(AMQPMethod, frozen=True, kw_only=True):
        """The client deletes an exchange."""

        id = 20
        reserved_1: ClassVar[Short] = 0
        exchange: ShortStr
        if_unused: Bit = False
        """Only if nothing is bound to it."""
        nowait: Bit = False

    class DeleteOk(AMQPMethod, frozen=True, kw_only=True):
        """The exchange is gone."""

        id = 21

    class Bind(AMQPMethod, frozen=True, kw_only=True):
        """The client binds an exchange to another: https://www.rabbitmq.com/docs/e2e."""

        id = 30
        reserved_1: ClassVar[Short] = 0
        destination: ShortStr
        source: ShortStr
        routing_key: ShortStr = ""
        nowait: Bit = False
        arguments: Table = {}

    class BindOk(AMQPMethod, frozen=True, kw_only=True):
        """It is bound."""

        id = 31

    class Unbind(AMQPMethod, frozen=True, kw_only=True):
        """The client removes such a binding."""

        id = 40
        reserved_1: ClassVar[Short] = 0
        destination: ShortStr
        source: ShortStr
        routing_key: ShortStr = ""
        nowait: Bit = False
        arguments: Table = {}

    class UnbindOk(AMQPMethod, frozen=True, kw_only=True):
        """The binding is gone. RabbitMQ gave it this id, not 41."""

        id = 51


class Queue:
    """Class 50: queues."""

    id: Final = 50

    class Declare(AMQPMethod, frozen=True, kw_only=True):
        """The client makes a queue where there is none of this name."""

        id = 10
        reserved_1: ClassVar[Short] = 0
        queue: ShortStr = ""
        passive: Bit = False
        """Only look whether it exists, and count what it holds."""
        durable: Bit = False
        exclusive: Bit = False
        """For this connection only, and gone with it."""
        auto_delete: Bit = False
        """Delete it with its last consumer."""
        nowait: Bit = False
        arguments: Table = {}

    class DeclareOk(AMQPMethod, frozen=True, kw_only=True):
        """The queue exists."""

        id = 11
        queue: ShortStr
        message_count: Long
        """How many messages are ready."""
        consumer_count: Long
        """How many consumers could be given one."""

    class Bind(AMQPMethod, frozen=True, kw_only=True):
        """The client binds a queue to an exchange."""

        id = 20
        reserved_1: ClassVar[Short] = 0
        queue: ShortStr = ""
        exchange: ShortStr
        routing_key: ShortStr = ""
        nowait: Bit = False
        arguments: Table = {}

    class BindOk(AMQPMethod, frozen=True, kw_only=True):
        """It is bound."""

        id = 21

    class Purge(AMQPMethod, frozen=True, kw_only=True):
        """The client drops all messages that are ready."""

        id = 30
        reserved_1: ClassVar[Short] = 0
        queue: ShortStr = ""
        nowait: Bit = False

    class PurgeOk(AMQPMethod, frozen=True, kw_only=True):
        """They are gone."""

        id = 31
        message_count: Long

    class Delete(AMQPMethod, frozen=True, kw_only=True):
        """The client deletes a queue and its messages."""

        id = 40
        reserved_1: ClassVar[Short] = 0
        queue: ShortStr = ""
        if_unused: Bit = False
        """Only if nobody consumes from it."""
        if_empty: Bit = False
        nowait: Bit = False

    class DeleteOk(AMQPMethod, frozen=True, kw_only=True):
        """The queue is gone."""

        id = 41
        message_count: Long
        """How many messages went with it."""

    class Unbind(AMQPMethod, frozen=True, kw_only=True):
        """The client removes a binding; the only such method that is always answered."""

        id = 50
        reserved_1: ClassVar[Short] = 0
        queue: ShortStr = ""
        exchange: ShortStr
        routing_key: ShortStr = ""
        arguments: Table = {}

    class UnbindOk(AMQPMethod, frozen=True, kw_only=True):
        """The binding is gone."""

        id = 51


class Basic:
    """Class 60: messages. `frames` and `parser` pack and parse the frequent ones by hand."""

    id: Final = 60

    class Qos(AMQPMethod, frozen=True, kw_only=True):
        """The client limits how many messages it holds unacknowledged; 0 is no limit."""

        id = 10
        prefetch_size: Long = 0
        """In bytes; RabbitMQ takes only 0."""
        prefetch_count: Short = 0
        global_: Bit = False
        """For the whole channel, else for each consumer that follows (RabbitMQ's reading)."""

    class QosOk(AMQPMethod, frozen=True, kw_only=True):
        """The limit holds."""

        id = 11

    class Consume(AMQPMethod, frozen=True, kw_only=True):
        """The client has a queue's messages delivered."""

        id = 20
        reserved_1: ClassVar[Short] = 0
        queue: ShortStr = ""
        consumer_tag: ShortStr = ""
        """Names the consumer on its channel; "" has the broker choose."""
        no_local: Bit = False
        """Not what this connection published itself; RabbitMQ ignores it."""
        no_ack: Bit = False
        """Each message counts as acknowledged once it is sent."""
        exclusive: Bit = False
        """Only if nobody else consumes, and nobody else from then on."""
        nowait: Bit = False
        arguments: Table = {}

    class ConsumeOk(AMQPMethod, frozen=True, kw_only=True):
        """Deliveries follow."""

        id = 21
        consumer_tag: ShortStr

    class Cancel(AMQPMethod, frozen=True, kw_only=True):
        """The client ends a consumer, or the broker has: rabbitmq.com/docs/consumer-cancel."""

        id = 30
        consumer_tag: ShortStr
        nowait: Bit = False

    class CancelOk(AMQPMethod, frozen=True, kw_only=True):
        """No delivery follows."""

        id = 31
        consumer_tag: ShortStr

    class Publish(AMQPMethod, frozen=True, kw_only=True):
        """The client sends a message."""

        id = 40
        has_content = True
        reserved_1: ClassVar[Short] = 0
        exchange: ShortStr = ""
        routing_key: ShortStr
        mandatory: Bit = False
        """Return it where no queue gets it."""
        immediate: Bit = False
        """Return it where no consumer can be given it at once; RabbitMQ refuses that."""

    class Return(AMQPMethod, frozen=True, kw_only=True):
        """The broker returns a mandatory message."""

        id = 50
        has_content = True
        reply_code: Short
        reply_text: ShortStr
        exchange: ShortStr
        routing_key: ShortStr

    class Deliver(AMQPMethod, frozen=True, kw_only=True):
        """The broker delivers a message to a consumer."""

        id = 60
        has_content = True
        consumer_tag: ShortStr
        delivery_tag: LongLong
        """Numbers the deliveries of a channel from 1."""
        redelivered: Bit
        """Whether it may have been delivered before."""
        exchange: ShortStr
        routing_key: ShortStr

    class Get(AMQPMethod, frozen=True, kw_only=True):
        """The client takes one message, if there is one."""

        id = 70
        reserved_1: ClassVar[Short] = 0
        queue: ShortStr = ""
        no_ack: Bit = False

    class GetOk(AMQPMethod, frozen=True, kw_only=True):
        """The broker has one; fields as in `Deliver`."""

        id = 71
        has_content = True
        delivery_tag: LongLong
        redelivered: Bit
        exchange: ShortStr
        routing_key: ShortStr
        message_count: Long
        """How many more are ready."""

    class GetEmpty(AMQPMethod, frozen=True, kw_only=True):
        """The broker has none."""

        id = 72
        reserved_1: ClassVar[ShortStr] = ""

    class Ack(AMQPMethod, frozen=True, kw_only=True):
        """A delivery is done with; or the broker has a publish (a confirm)."""

        id = 80
        delivery_tag: LongLong
        multiple: Bit = False
        """This one and all before it."""

    class Reject(AMQPMethod, frozen=True, kw_only=True):
        """The client does not want a delivery."""

        id = 90
        delivery_tag: LongLong
        requeue: Bit = True
        """Back into its queue; else it is dropped or dead-lettered."""

    class RecoverAsync(AMQPMethod, frozen=True, kw_only=True):
        """As `Recover`, without an answer; deprecated."""

        id = 100
        requeue: Bit = False

    class Recover(AMQPMethod, frozen=True, kw_only=True):
        """The client has all that it holds delivered again."""

        id = 110
        requeue: Bit = False
        """To anybody; else to the same consumer, which RabbitMQ refuses."""

    class RecoverOk(AMQPMethod, frozen=True, kw_only=True):
        """It will be."""

        id = 111

    class Nack(AMQPMethod, frozen=True, kw_only=True):
        """As `Reject`, for several at once: https://www.rabbitmq.com/docs/nack."""

        id = 120
        delivery_tag: LongLong
        multiple: Bit = False
        requeue: Bit = True


class Confirm:
    """Class 85: publisher confirms, https://www.rabbitmq.com/docs/confirms."""

    id: Final = 85

    class Select(AMQPMethod, frozen=True, kw_only=True):
        """The client wants each publish on the channel confirmed."""

        id = 10
        nowait: Bit = False

    class SelectOk(AMQPMethod, frozen=True, kw_only=True):
        """The broker counts from here."""

        id = 11


class Tx:
    """Class 90: transactions."""

    id: Final = 90

    class Select(AMQPMethod, frozen=True, kw_only=True):
        """The client makes the channel transactional."""

        id = 10

    class SelectOk(AMQPMethod, frozen=True, kw_only=True):
        """It is."""

        id = 11

    class Commit(AMQPMethod, frozen=True, kw_only=True):
        """The client commits what it published and settled."""

        id = 20

    class CommitOk(AMQPMethod, frozen=True, kw_only=True):
        """It holds."""

        id = 21

    class Rollback(AMQPMethod, frozen=True, kw_only=True):
        """The client drops what it published and settled."""

        id = 30

    class RollbackOk(AMQPMethod, frozen=True, kw_only=True):
        """It is dropped."""

        id = 31


METHODS: Final[dict[int, type[AMQPMethod]]] = {}
"""All methods by their `index`."""


def _hyphened(name: str) -> str:
    """DeclareOk as "declare-ok"."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name)[1:]


def _enter(group: Any) -> None:
    """Complete the methods of one class from what their definitions say, and enter them."""
    members = {
        name: kind
        for name, kind in vars(group).items()
        if isinstance(kind, type) and issubclass(kind, AMQPMethod)
    }
    for name, kind in members.items():
        kind.index = group.id << 16 | kind.id
        kind.name = f"{group.__name__.lower()}.{_hyphened(name)}"
        annotations = kind.__annotations__
        kind.reserved = tuple(field for field in annotations if field.startswith("reserved_"))
        kind.fields = tuple(
            (field, amqp_type.removeprefix("ClassVar[").removesuffix("]"))
            for field, amqp_type in annotations.items()
        )
        kind.answers = tuple(
            members[answer] for answer in (f"{name}Ok", f"{name}Empty") if answer in members
        )
        METHODS[kind.index] = kind


for _group in (Connection, Channel, Access, Exchange, Queue, Basic, Confirm, Tx):
    _enter(_group)
