"""How a session comes to its user and vhost (AMQP 0-9-1, section 2.2.4): the broker's half."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from leveret.amqp import methods
from leveret.amqp.codes import FRAME_MIN_SIZE, PROTOCOL_HEADER, ReplyCode
from leveret.amqp.tables import decode_table
from leveret.broker.permissions import Rights, log_in
from leveret.broker.refusals import Refused, access_refused, not_allowed
from leveret.broker.session.closing import blamed_method

if TYPE_CHECKING:
    from leveret.broker.session.session import Session

log = logging.getLogger("leveret.broker")

_GREETINGS: Final = (
    PROTOCOL_HEADER,
    b"AMQP\x01\x01\x09\x01",
    b"AMQP\x01\x01\x00\x09",
    b"AMQP\x01\x01\x08\x00",
)
"""The protocol header and older spellings of it that RabbitMQ takes too."""
MECHANISMS: Final = "AMQPLAIN PLAIN"
CAPABILITIES: Final = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "consumer_priorities": True,
    "authentication_failure_close": True,
    "per_consumer_qos": True,
    "direct_reply_to": True,
}
SERVER_PROPERTIES: Final[dict[str, Any]] = {
    "capabilities": CAPABILITIES,
    "cluster_name": "leveret@embedded",
    "copyright": "The authors of Leveret",
    "information": "Embedded, in memory, for development and tests. Production is RabbitMQ.",
    "platform": "Python",
    "product": "Leveret embedded broker",
    "version": "3.10.0",  # of RabbitMQ, whose behaviour it has: clients look at it
}


class Greeting:
    """The protocol header (section 4.2.2), which may come in pieces."""

    def __init__(self) -> None:
        self.done = False
        self._said = b""

    def receive(self, data: bytes) -> bytes | None:
        """What came after it, empty while it is not complete; None where it is another's."""
        self._said += data
        start = self._said[: len(PROTOCOL_HEADER)]
        if not any(greeting.startswith(start) for greeting in _GREETINGS):
            return None
        if len(start) < len(PROTOCOL_HEADER):
            return b""
        self.done = True
        rest, self._said = self._said[len(start) :], b""
        return rest


class Handshake:
    """What is due next, and what is done with it: start-ok, tune-ok, open."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._due: Any = self._start_ok
        self._frame_max = FRAME_MIN_SIZE

    def begin(self) -> None:
        """Answer the protocol header."""
        self._session.send_method(
            methods.Connection.Start(
                version_minor=9,
                server_properties=SERVER_PROPERTIES,
                mechanisms=MECHANISMS,
                locales="en_US",
            )
        )

    def handle(self, method: Any) -> None:
        """The client's next method; what is not due, or is refused, ends the connection."""
        try:
            self._due(method)
        except Refused as error:
            self._refuse(error, method)

    def _start_ok(self, method: Any) -> None:
        if not isinstance(method, methods.Connection.StartOk):
            raise _out_of_order("connection.start_ok", method)
        session = self._session
        properties = method.client_properties
        capabilities = properties.get("capabilities")
        session.capabilities = capabilities if isinstance(capabilities, dict) else {}
        name, password = _credentials(method.mechanism, method.response)
        user = log_in(session.node.users, name, password)
        if user is None:
            raise access_refused(
                f"Login was refused using authentication mechanism {method.mechanism}."
                " For details see the broker logfile."
            )
        session.user_name = name
        session.user = user
        limits = session.node.limits
        session.send_method(
            methods.Connection.Tune(
                channel_max=limits.channel_max,
                frame_max=limits.frame_max,
                heartbeat=limits.heartbeat,
            )
        )
        self._due = self._tune_ok

    def _tune_ok(self, method: Any) -> None:
        if not isinstance(method, methods.Connection.TuneOk):
            raise _out_of_order("connection.tune_ok", method)
        session = self._session
        limits = session.node.limits
        frame_max = method.frame_max
        if frame_max and frame_max < FRAME_MIN_SIZE:
            raise not_allowed(
                f"negotiated frame_max = {frame_max} is lower than the minimum allowed value"
                f" ({FRAME_MIN_SIZE})"
            )
        self._frame_max = _agreed("frame_max", frame_max, limits.frame_max)
        session.channel_max = _agreed("channel_max", method.channel_max, limits.channel_max)
        session.heartbeat = method.heartbeat
        self._due = self._open

    def _open(self, method: Any) -> None:
        if not isinstance(method, methods.Connection.Open):
            raise _out_of_order("connection.open", method)
        session = self._session
        name = method.virtual_host
        vhost = session.node.vhosts.get(name)
        if vhost is None:
            raise not_allowed(f"vhost {name} not found")
        permissions = session.user.permissions_in(name)
        if permissions is None:
            raise not_allowed(f"access to vhost '{name}' refused for user '{session.user_name}'")
        session.vhost = vhost
        session.rights = Rights(session.user_name, name, permissions)
        session.send_method(methods.Connection.OpenOk())
        session.opened(self._frame_max)

    def _refuse(self, error: Refused, method: Any) -> None:
        """As RabbitMQ does.

        A user that may not log in is told where it can understand it, and a vhost that cannot be
        opened; whatever else is wrong ends the connection without a word.
        """
        session = self._session
        opening = isinstance(method, methods.Connection.Open)
        if opening and error.reply_code == ReplyCode.NOT_ALLOWED:
            session.fail(error, blamed_method(method))
        elif error.reply_code == ReplyCode.ACCESS_REFUSED and session.capabilities.get(
            "authentication_failure_close"
        ):
            session.fail(error)
        else:
            log.warning("%s: refused: %s", session.peer, error)
            session.finish()


def _agreed(name: str, wanted: int, allowed: int) -> int:
    """What the client wants, if it is no more than is allowed; 0 is "no limit"."""
    if not allowed:
        return wanted
    if not wanted:
        raise not_allowed(
            f"negotiated {name} = 0 (no limit) is higher than the maximum allowed value ({allowed})"
        )
    if wanted > allowed:
        raise not_allowed(
            f"negotiated {name} = {wanted} is higher than the maximum allowed value ({allowed})"
        )
    return wanted


def _out_of_order(due: str, method: Any) -> Refused:
    came = "something else" if method is None else method.name.replace("-", "_")
    return Refused(ReplyCode.COMMAND_INVALID, f"expected '{due}', got '{came}'")


def _credentials(mechanism: str, response: str) -> tuple[str, str]:
    """User and password. :raises Refused: if the mechanism is unknown or the response malformed."""
    match mechanism:
        case "PLAIN":
            parts = response.split("\0")
            if len(parts) == 3:
                return parts[1], parts[2]
        case "AMQPLAIN":
            data = response.encode("utf-8", "surrogateescape")
            try:
                table = decode_table(data, 0, len(data))
            except (ValueError, IndexError):
                table = {}
            name, password = table.get("LOGIN"), table.get("PASSWORD")
            if isinstance(name, str) and isinstance(password, str):
                return name, password
        case _:
            raise Refused(
                ReplyCode.NOT_IMPLEMENTED,
                f"the embedded broker has no authentication mechanism '{mechanism}', only"
                f" {' and '.join(MECHANISMS.split())}",
            )
    raise Refused(ReplyCode.SYNTAX_ERROR, f"malformed {mechanism} response")
