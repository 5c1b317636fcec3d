"""Serves a method to clients of the tutorial's protocol (`wire.tutorial`), from any named queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.amqp.codes import ReplyCode
from leveret.codec import TEXT, MethodCodec, method_codec
from leveret.errors import CallError, ChannelClosed
from leveret.server.consumer import MethodConsumer
from leveret.server.execution import Executor, Middleware
from leveret.server.replies import Replies
from leveret.server.running import Running
from leveret.transport.channel import Channel
from leveret.wire.before import TEXT_CONTENT_TYPE
from leveret.wire.channel_errors import explained
from leveret.wire.native.names import ERROR

if TYPE_CHECKING:
    from leveret.server.server import Server


class PlainConsumer(MethodConsumer):
    """One method, served from a queue of the tutorial's kind.

    Its clients take the first message they get for the answer, so they are told nothing else.
    """

    announces = False

    def __init__(
        self,
        server: Server,
        executor: Executor,
        middleware: tuple[Middleware, ...],
        queue: str,
    ) -> None:
        super().__init__(server, executor, middleware)
        self.queue = queue
        self.exchange, self.routing_key = "", queue

    def _make_replies(self, channel: Channel) -> Replies:
        return _PlainReplies(self.spec, channel, self._max_message_size)

    async def declare(self, channel: Channel) -> None:
        """See that the queue exists; one that does is taken as it is, whatever its options."""
        probe = await channel.connection.open_channel()
        try:
            await probe.look_at_queue(self.queue)
        except ChannelClosed as error:
            if error.reply_code != ReplyCode.NOT_FOUND:
                raise explained(error, f"queue {self.queue!r}") from error
            await channel.declare_queue(self.queue)
        await probe.close()


class _PlainReplies(Replies):
    """Text both ways, whatever the sender calls it; errors as text too."""

    def _make_codec(self, content_type: str) -> MethodCodec:
        return method_codec(TEXT, self.spec.parameters, self.spec.result)

    def _codec_for(self, content_type: str) -> MethodCodec:
        return self._codec

    def error(self, running: Running, error: CallError) -> bytes:
        """The error's own words; `type` says that it is one."""
        body = str(error).encode("utf-8", "replace")
        return self._pack(running, body, TEXT_CONTENT_TYPE, ERROR)
