"""A queue of the RabbitMQ tutorial's kind: what users say of it, and how it comes to be there.

Programs of the tutorial declare their queue each in its own way, and die if it is there with other
options. So Leveret never insists: it takes a queue that is there as it is, and says in the log what
it found.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.errors import ChannelClosed, ContractError
from leveret.transport.channel import Channel
from leveret.wire.channel_errors import explained, is_down

log = logging.getLogger("leveret.server")

Failed: TypeAlias = Literal["text", "empty", "dead-letter"]
"""What becomes of a request that fails."""

_FAILED: Final = get_args(Failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainQueue:
    """A queue that clients of the tutorial's protocol send requests to, and how it is served.

    A queue that is there already is taken as it is, whatever is said of it here; the log tells.

    :raises ContractError: for a value that is none of what its field says.
    """

    method: str
    """The method that answers: "service.method"."""
    durable: bool | None = None
    """Whether the queue survives a restart of the broker; None: it does if Leveret declares it."""
    auto_delete: bool = False
    """Whether the broker deletes it once its last consumer has left."""
    arguments: Mapping[str, Any] | None = None
    """Its arguments, such as {"x-queue-type": "quorum"}; None: none if Leveret declares it."""
    failed: Failed = "text"
    """What a caller of a failed request gets: "text": the error's text; "empty": an empty body;
    "dead-letter": nothing, and the request goes to the queue's dead-letter exchange, if it has one.
    The type of the first two is `error`, which the tutorial's own clients do not look at."""

    def __post_init__(self) -> None:
        given: dict[str, object] = {"durable": self.durable, "auto_delete": self.auto_delete}
        for name, value in given.items():
            if not (isinstance(value, bool) or (name == "durable" and value is None)):
                raise ContractError(f"PlainQueue: {name} is {value!r}; it is True or False")
        arguments: object = self.arguments
        if not (arguments is None or isinstance(arguments, Mapping)):
            raise ContractError(
                f"PlainQueue: arguments is {arguments!r}; it is a mapping, or None for none"
            )
        if self.failed not in _FAILED:
            raise ContractError(
                f"PlainQueue: failed is {self.failed!r}; it is one of {', '.join(_FAILED)}"
            )

    @property
    def has_options(self) -> bool:
        """Whether anything is said of how the queue is declared."""
        return self.durable is not None or self.auto_delete or self.arguments is not None

    def declaration(self, name: str) -> methods.Queue.Declare:
        """What declares it as it is described here."""
        return methods.Queue.Declare(
            queue=name,
            durable=self.durable is not False,
            auto_delete=self.auto_delete,
            arguments=dict(self.arguments or {}),
        )


class PlainTopology:
    """Sees to it that one such queue is there. What it did is logged once, until it is another."""

    def __init__(self, name: str, options: PlainQueue) -> None:
        self._name = name
        self._options = options
        self._said = ""

    async def declare(self, channel: Channel) -> None:
        """Take the queue as it is, or declare it where it is missing.

        :raises LeveretError: if neither is possible.
        """
        look = await channel.connection.open_channel()
        try:
            await look.look_at_queue(self._name)
        except ChannelClosed as error:
            if error.reply_code != ReplyCode.NOT_FOUND or is_down(error):
                raise explained(error, f"queue {self._name!r}") from error
            await self._declare_missing(channel)
            return
        if self._options.has_options:
            await self._compare(look)
        else:
            self._say(logging.INFO, "it was there, and is taken as it is")
            await look.close()

    async def _declare_missing(self, channel: Channel) -> None:
        declaration = self._options.declaration(self._name)
        try:
            await channel.call(declaration)
        except ChannelClosed as error:
            raise explained(error, f"queue {self._name!r}") from error
        options = ["durable" if declaration.durable else "not durable"]
        options += ["auto-delete"] if declaration.auto_delete else []
        options += [f"{name}={value!r}" for name, value in (declaration.arguments or {}).items()]
        self._say(logging.INFO, f"it was not there, and was declared: {', '.join(options)}")

    async def _compare(self, channel: Channel) -> None:
        """Find out whether a queue that is there has the options that it was to have."""
        try:
            await channel.call(self._options.declaration(self._name))
        except ChannelClosed as error:
            if error.reply_code != ReplyCode.PRECONDITION_FAILED:
                raise explained(error, f"queue {self._name!r}") from error
            self._say(logging.WARNING, f"it was there, and is taken as it is, though {error}")
        else:
            self._say(logging.INFO, "it was there, with the options that plain= gives it")
            await channel.close()

    def _say(self, level: int, what: str) -> None:
        if what != self._said:
            self._said = what
            log.log(level, "plain queue %r: %s", self._name, what)
