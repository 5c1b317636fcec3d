"""Packs replies: results in the request's own content type, errors, and "it still runs"."""

from __future__ import annotations

import logging
from typing import Any, Final

from msgspec import Struct

from leveret.amqp.events import Delivery
from leveret.codec import DECODE_ERRORS, ENCODE_ERRORS, MethodCodec, method_codec
from leveret.contract import MethodSpec
from leveret.errors import Busy, CallError, ContractError, InvalidArgument, InvalidResult
from leveret.once import Recorded
from leveret.server.once_calls import too_large
from leveret.server.outcome import ran_before
from leveret.server.running import Running
from leveret.transport.channel import Channel
from leveret.wire.before import ReplyTemplate, is_compressed, pack_reply
from leveret.wire.failures import ERROR_CONTENT_TYPE, encode_failure, safe_str
from leveret.wire.native.names import ACCEPTED, CONFIRM, ERROR, NOT_BEGUN, RESULT

log = logging.getLogger("leveret.server")

_TEMPLATES: Final = 1024
"""For how many clients the constant part of a reply is kept."""
_CODECS: Final = 16


class Replies:
    """Reads the requests and packs the replies of one method, on one channel."""

    def __init__(self, spec: MethodSpec, channel: Channel, max_message_size: int) -> None:
        self.spec = spec
        self._number = channel.number
        self._frame_max = channel.connection.frame_max
        self._max_message_size = max_message_size
        self._codec = self._make_codec(spec.content_type)
        self._codecs: dict[str, MethodCodec] = {}
        self._templates: dict[str, ReplyTemplate] = {}

    def arguments(self, delivery: Delivery) -> Struct:
        """A request's decoded arguments.

        :raises CallError: if the body is too large or does not fit.
        """
        body = delivery.body
        if body is None:
            raise Busy(
                f"the arguments take {delivery.body_size} bytes, more than the server's"
                " max_message_size",
                retry_after=-1,
            )
        if is_compressed(delivery.properties.content_encoding):
            raise InvalidArgument(
                f"the body has the content_encoding {delivery.properties.content_encoding!r};"
                " bodies are never compressed"
            )
        codec = self._codec
        content_type = delivery.properties.content_type
        if content_type != codec.content_type and content_type is not None:
            codec = self._codec_for(content_type)
        try:
            return codec.decode_arguments(body)
        except DECODE_ERRORS as error:
            raise InvalidArgument(safe_str(error) or type(error).__name__) from error

    def result(self, running: Running, result: Any) -> bytes:
        """The reply with a handler's result, or with the error that it is none."""
        properties = running.delivery.properties
        codec = self._codec
        content_type = properties.content_type
        if content_type != codec.content_type and content_type is not None:
            codec = self._codec_for(content_type)
        try:
            body = codec.encode_result(result)
        except ENCODE_ERRORS as error:
            return self._bad_result(running, _misfit(running, result, safe_str(error)))
        if len(body) > self._max_message_size:
            return self._bad_result(
                running,
                f"the result takes {len(body)} bytes, more than the"
                f" {self._max_message_size} of the server's max_message_size",
            )
        reply_to, correlation_id = properties.reply_to, properties.correlation_id
        if not reply_to:
            return b""
        if running.has_reply_metadata or not correlation_id or codec is not self._codec:
            try:
                return self._pack(running, body, codec.content_type, RESULT)
            except (TypeError, ValueError) as error:
                running.reply_metadata.clear()
                return self._bad_result(
                    running, f"the handler's reply_metadata cannot be sent: {error}"
                )
        template = self._templates.get(reply_to)
        if template is None:
            template = self._template(reply_to)
        return template.pack(correlation_id.encode("utf-8", "surrogateescape"), body)

    def _bad_result(self, running: Running, why: str) -> bytes:
        log.error("%s: %s", self.spec.key, why)
        executed = "yes" if running.entered else ran_before(running.delivery)
        return self.error(running, InvalidResult(why, executed=executed))

    def error(self, running: Running, error: CallError) -> bytes:
        """The reply that tells of an error."""
        body = encode_failure(error)
        try:
            return self._pack(running, body, ERROR_CONTENT_TYPE, ERROR)
        except (TypeError, ValueError):  # as in `result`; here the error is what matters
            running.reply_metadata.clear()
            return self._pack(running, body, ERROR_CONTENT_TYPE, ERROR)

    def recorded(self, running: Running, recorded: Recorded) -> bytes:
        """The reply that a call with the same idempotency key was given."""
        failure = too_large(recorded)
        if failure is not None:
            return self.error(running, failure)
        running.reply_metadata.clear()
        running.reply_metadata.update(recorded.metadata or {})
        return self._pack(running, recorded.body, recorded.content_type, recorded.kind)

    def accepted(self, running: Running) -> bytes:
        """Word to the caller that its handler runs: no reply yet, but no reason to give up.

        Or that it waits here for its turn, for a thread or the store of keys.
        """
        return self._word(running, ACCEPTED, b"" if running.entered else NOT_BEGUN)

    def claim(self, running: Running, answer_to: str) -> bytes:
        """The question whether the caller still waits.

        :param answer_to: the routing key on the control exchange to answer with.
        """
        return self._word(running, CONFIRM, b"", answer_to)

    def _word(
        self, running: Running, kind: str, body: bytes, answer_to: str | None = None
    ) -> bytes:
        """What is no reply. Of no use without a name for the call."""
        properties = running.delivery.properties
        if not properties.reply_to or not properties.correlation_id:
            return b""
        return pack_reply(
            self._number,
            self._frame_max,
            properties.reply_to,
            properties.correlation_id,
            body,
            content_type=ERROR_CONTENT_TYPE,
            kind=kind,
            answer_to=answer_to,
        )

    def _codec_for(self, content_type: str) -> MethodCodec:
        codec = self._codecs.get(content_type)
        if codec is None:
            try:
                codec = self._make_codec(content_type)
            except ContractError as error:
                raise InvalidArgument(str(error)) from error
            if len(self._codecs) < _CODECS:
                self._codecs[content_type] = codec
        return codec

    def _make_codec(self, content_type: str) -> MethodCodec:
        return method_codec(content_type, self.spec.parameters, self.spec.result)

    def _template(self, reply_to: str) -> ReplyTemplate:
        if len(self._templates) >= _TEMPLATES:
            self._templates.clear()
        template = self._templates[reply_to] = ReplyTemplate(
            channel=self._number,
            frame_max=self._frame_max,
            reply_to=reply_to,
            content_type=self._codec.content_type,
            kind=RESULT,
        )
        return template

    def _pack(self, running: Running, body: bytes, content_type: str, kind: str) -> bytes:
        properties = running.delivery.properties
        if not properties.reply_to:
            return b""
        return pack_reply(
            self._number,
            self._frame_max,
            properties.reply_to,
            properties.correlation_id,
            body,
            content_type=content_type,
            kind=kind,
            metadata=running.reply_metadata if running.has_reply_metadata else None,
        )


def _misfit(running: Running, result: Any, why: str) -> str:
    """Whose result it is that the method's annotation forbids: the handler's or a middleware's."""
    from_handler = running.entered and getattr(running, "returned", result) is result
    if from_handler:
        return f"the handler's result does not fit its annotation: {why}"
    hint = "" if result is not None else "; did it forget to `return await call_next(call)`?"
    return f"a middleware's result does not fit the annotation of the method: {why}{hint}"
