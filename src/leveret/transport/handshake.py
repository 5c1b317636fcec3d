"""The client's half of the handshake (AMQP 0-9-1, section 2.2.4): methods in, methods out. Pure.

    start ──► start-ok    tune ──► tune-ok, open    open-ok ──► agreed

`Handshake.receive` takes the broker's methods and returns the answers, and at last what both sides
agreed on. The meaning of a connection that ends meanwhile depends on the step: `Handshake.explain`
distinguishes a refused login and a forbidden virtual host from a lost connection.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from leveret.amqp import methods
from leveret.amqp.codes import FRAME_MIN_SIZE, ReplyCode
from leveret.amqp.methods import AMQPMethod
from leveret.errors import (
    ConnectionClosed,
    ConnectionLost,
    LeveretError,
    PermissionDenied,
    ProtocolError,
    Unauthenticated,
)
from leveret.transport.address import Address
from leveret.transport.credentials import Login, login_advice

FRAME_MAX: Final = 131_072
"""Bytes of the largest frame that this side takes."""
CHANNEL_MAX: Final = 2047
"""The most channels that this side opens on a connection."""


class Agreed(Struct, frozen=True, kw_only=True):
    """What both sides of a connection agreed on."""

    frame_max: int
    """Bytes of the largest frame."""
    channel_max: int
    """The highest channel number."""
    heartbeat: int
    """Seconds within which each side sends something; 0 means no heartbeats."""
    user: str
    """The broker's name for this side's user; "" if it is not known."""
    server_properties: dict[str, Any]
    """The broker's properties, as it sent them."""


class Handshake:
    """One handshake, from connection.start to connection.open-ok.

    :param peer: "host:port", for messages.
    :param properties: this side's properties (`client-properties`).
    """

    def __init__(
        self, peer: str, address: Address, login: Login, properties: dict[str, Any]
    ) -> None:
        self._peer = peer
        self._address = address
        self._login = login
        self._properties = properties
        self._due: type[AMQPMethod] = methods.Connection.Start
        self._server_properties: dict[str, Any] = {}
        self._limits = (0, 0, 0)

    def receive(self, method: AMQPMethod) -> tuple[AMQPMethod, ...] | Agreed:
        """Take the broker's next method; return the methods that answer it, or the agreement.

        :raises ProtocolError: if another method was due, or the broker's frames are too small.
        :raises Unauthenticated: if the broker does not offer the login mechanism.
        """
        if type(method) is not self._due:
            raise ProtocolError(
                ReplyCode.COMMAND_INVALID, f"got {method.name} where {self._due.name} was due"
            )
        if isinstance(method, methods.Connection.Start):
            self._due = methods.Connection.Tune
            return (self._start_ok(method),)
        if isinstance(method, methods.Connection.Tune):
            self._due = methods.Connection.OpenOk
            return self._tune_ok(method), methods.Connection.Open(virtual_host=self._address.vhost)
        channel_max, frame_max, heartbeat = self._limits
        return Agreed(
            frame_max=frame_max,
            channel_max=channel_max,
            heartbeat=heartbeat,
            user=self._user_id(),
            server_properties=self._server_properties,
        )

    def explain(self, error: LeveretError) -> LeveretError:
        """What the end of the connection by `error` means at this step of the handshake."""
        if self._due is methods.Connection.Tune and self._login_refused(error):
            explained: LeveretError = Unauthenticated(self._refusal(error))
        elif (
            self._due is methods.Connection.OpenOk
            and isinstance(error, ConnectionClosed)
            and error.reply_code in (ReplyCode.NOT_ALLOWED, ReplyCode.ACCESS_REFUSED)
        ):
            explained = PermissionDenied(
                f"{self._peer}: user {self._login.username!r} may not use vhost"
                f" {self._address.vhost!r}: {error}"
            )
        else:
            return error
        explained.__cause__ = error
        return explained

    def _start_ok(self, start: methods.Connection.Start) -> AMQPMethod:
        """Log in by SASL (https://www.rabbitmq.com/docs/access-control).

        The response is never stored in a variable, so that no traceback shows the password.
        """
        self._server_properties = dict(start.server_properties)
        wanted = "EXTERNAL" if self._address.auth == "external" else "PLAIN"
        if wanted not in start.mechanisms.split():
            raise Unauthenticated(
                f"the broker does not offer the login mechanism {wanted}, only"
                f" {start.mechanisms or 'none'}; see auth_mechanisms in its configuration, and"
                " auth_mechanism in the URL"
            )
        return methods.Connection.StartOk(
            client_properties=self._properties,
            mechanism=wanted,
            response=""
            if wanted == "EXTERNAL"
            else f"\0{self._login.username}\0{self._login.password}",
        )

    def _tune_ok(self, tune: methods.Connection.Tune) -> AMQPMethod:
        ours = self._address.heartbeat
        channel_max = _smaller(CHANNEL_MAX, tune.channel_max)
        frame_max = _smaller(FRAME_MAX, tune.frame_max)
        heartbeat = _smaller(ours, tune.heartbeat) if ours else 0
        if frame_max < FRAME_MIN_SIZE:
            raise ProtocolError(
                ReplyCode.SYNTAX_ERROR, f"the broker offered frames of {frame_max} bytes only"
            )
        self._limits = channel_max, frame_max, heartbeat
        return methods.Connection.TuneOk(
            channel_max=channel_max, frame_max=frame_max, heartbeat=heartbeat
        )

    def _user_id(self) -> str:
        """The broker's name for this user. With EXTERNAL only the user can know it."""
        if self._address.user_id is not None:
            return self._address.user_id
        return self._login.username if self._address.auth == "plain" else ""

    def _login_refused(self, error: LeveretError) -> bool:
        """Whether this answer to start-ok means that the credentials are wrong.

        A broker without this capability just closes the socket
        (https://www.rabbitmq.com/docs/auth-notification).
        """
        if isinstance(error, ConnectionClosed):
            return error.reply_code == ReplyCode.ACCESS_REFUSED
        capabilities = self._server_properties.get("capabilities") or {}
        return isinstance(error, ConnectionLost) and not capabilities.get(
            "authentication_failure_close"
        )

    def _refusal(self, error: LeveretError) -> str:
        address = self._address
        if address.auth == "plain":
            return (
                f"{self._peer}: the broker refused the login of user {self._login.username!r}:"
                f" {error}. {login_advice(address.credentials)}"
            )
        certfile = address.tls.certfile if address.tls is not None else None
        advice = (
            f"Is there a user of the name in {certfile!r}?"
            if certfile is not None
            else "It presented none. Name one with certfile in an amqps:// URL."
        )
        return (
            f"{self._peer}: the broker refused the login of this client's certificate: {error}."
            f" {advice}"
        )


def not_amqp(data: bytes) -> ProtocolError:
    """The error for a peer whose first bytes, `data`, are not AMQP: the URL leads elsewhere."""
    if data[:4] == b"AMQP":
        what = f"it offers version {data[4:8].hex('.')} of AMQP"
    elif data[:2] == b"\x15\x03":
        what = "it speaks TLS; begin the URL with amqps://"
    else:
        what = f"it answers {data[:32]!r}; is the port right?"
    return ProtocolError(
        ReplyCode.NOT_IMPLEMENTED, f"what listens there does not speak AMQP 0-9-1: {what}"
    )


def _smaller(ours: int, theirs: int) -> int:
    """The smaller of two limits, where 0 means no limit."""
    return min(ours, theirs) if ours and theirs else max(ours, theirs)
