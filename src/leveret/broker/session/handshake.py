"""The broker's half of the handshake (AMQP 0-9-1, section 2.2.4), from header to connection.open.

A machine without output: each method of the client leads to the broker's next method, or to the end
of the handshake, which is `Admitted` or `Refusal`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from leveret.amqp import methods
from leveret.amqp.codes import FRAME_MIN_SIZE, PROTOCOL_HEADER, ReplyCode
from leveret.amqp.methods import AMQPMethod
from leveret.amqp.tables import decode_table
from leveret.broker.limits import Limits
from leveret.broker.model.vhost import VHost
from leveret.broker.permissions import Rights, User, log_in
from leveret.broker.refusals import Refused, access_refused, not_allowed
from leveret.broker.session.closing import Blamed, blamed_method

_PROTOCOL_HEADERS: Final = (
    PROTOCOL_HEADER,
    b"AMQP\x01\x01\x09\x01",
    b"AMQP\x01\x01\x00\x09",
    b"AMQP\x01\x01\x08\x00",
)
"""The protocol header, and older forms of it that RabbitMQ accepts as well."""
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
    "information": "Leveret's embedded broker, for development and tests. Production is RabbitMQ.",
    "platform": "Leveret's embedded broker, Python",
    "product": "RabbitMQ",
    "version": "3.10.0",
}
"""Who the broker is. Product and version are RabbitMQ's, as clients look at them.

On any other product kombu takes `global=false` for the prefetch of a channel, so a Celery worker
that raises its prefetch for each task with a countdown would raise that of no consumer, and stall.
"""


class Greeting:
    """Reads the protocol header (section 4.2.2), which may come in pieces."""

    def __init__(self) -> None:
        self.done = False
        """Whether the header is complete."""
        self._received = b""

    def receive(self, data: bytes) -> bytes | None:
        """Return what came after the header, which is empty while the header is not complete.

        None if this is the header of another protocol.
        """
        self._received += data
        start = self._received[: len(PROTOCOL_HEADER)]
        if not any(header.startswith(start) for header in _PROTOCOL_HEADERS):
            return None
        if len(start) < len(PROTOCOL_HEADER):
            return b""
        self.done = True
        rest, self._received = self._received[len(start) :], b""
        return rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A client that may use a vhost, and what was agreed with it."""

    user: User
    """The user that it logged in as."""
    user_name: str
    """The user's name."""
    vhost: VHost
    """The vhost that it opened."""
    rights: Rights
    """What the user may do in the vhost."""
    capabilities: Mapping[str, Any]
    """Extensions of AMQP that the client understands, by name."""
    channel_max: int
    """How many channels it may open; 0 for any number."""
    frame_max: int
    """Bytes of the largest frame; 0 for no limit."""
    heartbeat: int
    """Seconds of the heartbeat interval; 0 for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A client that is not admitted."""

    error: Refused
    """Why."""
    blamed: Blamed
    """The method that is to blame."""
    told: bool
    """Whether the broker tells the client before it hangs up."""


class _Due(Enum):
    """The method that is due next, as RabbitMQ writes its name in reply texts."""

    START_OK = "connection.start_ok"
    TUNE_OK = "connection.tune_ok"
    OPEN = "connection.open"


class Handshake:
    """One client's handshake: start-ok, tune-ok and open, in this order.

    :param users: may log in, by name.
    :param vhosts: may be opened, by name.
    :param limits: are proposed to the client.
    """

    def __init__(
        self, users: Mapping[str, User], vhosts: Mapping[str, VHost], limits: Limits
    ) -> None:
        self._users = users
        self._vhosts = vhosts
        self._limits = limits
        self._due = _Due.START_OK
        self._user_name = ""
        self._user: User | None = None
        self._capabilities: dict[str, Any] = {}
        self._channel_max = 0
        self._frame_max = 0
        self._heartbeat = 0

    def start(self) -> methods.Connection.Start:
        """The method by which the broker answers the protocol header."""
        return methods.Connection.Start(
            version_minor=9,
            server_properties=SERVER_PROPERTIES,
            mechanisms=MECHANISMS,
            locales="en_US",
        )

    def receive(self, method: AMQPMethod | None) -> AMQPMethod | Admitted | Refusal | None:
        """Take the client's next method.

        :param method: None for anything that is not a method on channel 0.
        :returns: the broker's next method, None if the client's next one is due, or the end.
        """
        try:
            match self._due, method:
                case _Due.START_OK, methods.Connection.StartOk():
                    return self._log_in(method)
                case _Due.TUNE_OK, methods.Connection.TuneOk():
                    self._agree(method)
                    return None
                case _Due.OPEN, methods.Connection.Open():
                    return self._admit(method)
            raise _out_of_order(self._due.value, method)
        except Refused as error:
            return self._refuse(error, method)

    def _log_in(self, method: methods.Connection.StartOk) -> AMQPMethod:
        capabilities = method.client_properties.get("capabilities")
        self._capabilities = capabilities if isinstance(capabilities, dict) else {}
        name, password = _credentials(method.mechanism, method.response)
        user = log_in(self._users, name, password)
        if user is None:
            raise access_refused(
                f"Login was refused using authentication mechanism {method.mechanism}."
                " For details see the broker logfile."
            )
        self._user_name = name
        self._user = user
        self._due = _Due.TUNE_OK
        return methods.Connection.Tune(
            channel_max=self._limits.channel_max,
            frame_max=self._limits.frame_max,
            heartbeat=self._limits.heartbeat,
        )

    def _agree(self, method: methods.Connection.TuneOk) -> None:
        frame_max = method.frame_max
        if frame_max and frame_max < FRAME_MIN_SIZE:
            raise not_allowed(
                f"negotiated frame_max = {frame_max} is lower than the minimum allowed value"
                f" ({FRAME_MIN_SIZE})"
            )
        self._frame_max = _agreed("frame_max", frame_max, self._limits.frame_max)
        self._channel_max = _agreed("channel_max", method.channel_max, self._limits.channel_max)
        self._heartbeat = method.heartbeat
        self._due = _Due.OPEN

    def _admit(self, method: methods.Connection.Open) -> Admitted:
        name = method.virtual_host
        vhost = self._vhosts.get(name)
        if vhost is None:
            raise not_allowed(f"vhost {name} not found")
        assert self._user is not None
        permissions = self._user.permissions_in(name)
        if permissions is None:
            raise not_allowed(f"access to vhost '{name}' refused for user '{self._user_name}'")
        return Admitted(
            user=self._user,
            user_name=self._user_name,
            vhost=vhost,
            rights=Rights(self._user_name, name, permissions),
            capabilities=self._capabilities,
            channel_max=self._channel_max,
            frame_max=self._frame_max,
            heartbeat=self._heartbeat,
        )

    def _refuse(self, error: Refused, method: AMQPMethod | None) -> Refusal:
        """Decide whether the client is told, as RabbitMQ does.

        It is told that a vhost cannot be opened, and that a login failed if it understands that.
        Anything else ends the connection without a word.
        """
        if isinstance(method, methods.Connection.Open) and (
            error.reply_code == ReplyCode.NOT_ALLOWED
        ):
            return Refusal(error=error, blamed=blamed_method(method), told=True)
        understands = bool(self._capabilities.get("authentication_failure_close"))
        told = error.reply_code == ReplyCode.ACCESS_REFUSED and understands
        return Refusal(error=error, blamed=(0, 0), told=told)


def _agreed(name: str, wanted: int, allowed: int) -> int:
    """What the client wants, where 0 is "no limit".

    :raises Refused: if that is more than is allowed.
    """
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
    """User and password.

    :raises Refused: if the mechanism is unknown or the response malformed.
    """
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
