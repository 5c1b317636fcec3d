"""Decodes the requests of one method, and encodes its replies in the request's content type."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from msgspec import Struct, structs

from leveret.body_parts import Body
from leveret.codec import (
    ENCODE_ERRORS,
    ItemCodec,
    MethodCodec,
    item_codec,
    method_codec,
)
from leveret.contract import MethodSpec
from leveret.errors import (
    Busy,
    CallError,
    ContractError,
    InvalidArgument,
    InvalidResult,
    RemoteError,
)
from leveret.observe import LastError
from leveret.once import LARGE, UNANSWERED, Recorded
from leveret.server.calls.call_stream import CallStream
from leveret.server.calls.life import Answer, ServerCall
from leveret.server.calls.outcome import executed, may_run_elsewhere
from leveret.wire.context import CurrentCall
from leveret.wire.error_texts import safe_str, shortened
from leveret.wire.failures import decode_failure
from leveret.wire.log_fields import fields_of, shown
from leveret.wire.message import Incoming, UploadMessage
from leveret.wire.trace_ids import trace_id_of

log = logging.getLogger("leveret.server")

_CODECS: Final = 16
"""How many codecs a method keeps, in addition to its own, for callers with other content types."""
_LONGEST_MESSAGE: Final = 500
"""Characters of an error's message that statistics contain."""


class Replies:
    """Decodes requests and packs replies with the codecs of one method.

    :param max_message_size: bytes of the largest result that the server sends.
    :param notes_errors: whether calls keep the errors that they end with.
    """

    def __init__(
        self, spec: MethodSpec, max_message_size: int, *, notes_errors: bool = False
    ) -> None:
        self._spec = spec
        self._notes_errors = notes_errors
        self._most = max_message_size
        self._whose = "of the server's max_message_size"
        self._codec = method_codec(spec.content_type, spec.parameters, spec.result)
        self._codecs: dict[str, MethodCodec] = {}
        self._item_codecs: dict[str, ItemCodec] = {}

    def note_broker_limit(self, size: int) -> None:
        """The broker takes no larger body than this; from now on a larger result is an error."""
        if size < self._most:
            self._most = size
            self._whose = "that the broker takes (max_message_size in its configuration)"

    def arguments(self, request: Incoming) -> Struct:
        """A request's decoded arguments.

        :raises CallError: if the body is too large or does not fit.
        """
        body = request.body
        if body is None:
            raise Busy(
                f"the arguments take {request.body_size} bytes, more than the server's"
                " max_message_size",
                retry_after=-1,
            )
        if request.problem:
            raise InvalidArgument(f"the body has {request.problem}")
        codec, content_type = self._codec, request.content_type
        if content_type != codec.content_type:
            codec = self.codec(content_type)
        try:
            return codec.decode_arguments(body)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a type's own check may exit, and one in Rust may panic
            raise InvalidArgument(safe_str(error) or type(error).__name__) from error

    def codec(self, content_type: str | None) -> MethodCodec:
        """The codec of a content type; None means the method's own.

        :raises InvalidArgument: if there is none.
        """
        if content_type is None or content_type == self._codec.content_type:
            return self._codec
        codec = self._codecs.get(content_type)
        if codec is None:
            try:
                codec = method_codec(content_type, self._spec.parameters, self._spec.result)
            except ContractError as error:
                raise InvalidArgument(str(error)) from error
            if len(self._codecs) < _CODECS:
                self._codecs[content_type] = codec
        return codec

    def result(
        self, call: ServerCall, context: CurrentCall, result: Any, *, from_handler: bool
    ) -> bytes:
        """The reply with a result, or with an error if the result cannot be sent.

        :param from_handler: whether it is the handler's own result, unchanged by middleware.
        """
        if call.stream is not None and call.stream.has_results:
            return self._end(call, call.stream, context)
        incoming = call.incoming
        codec = self._codec
        if incoming.content_type != codec.content_type:
            codec = self.codec(incoming.content_type)
        try:
            body = codec.encode_result(result)
        except ENCODE_ERRORS as error:
            why = _misfit(result, safe_str(error), from_handler=from_handler)
            return self._bad_result(call, context, why)
        if len(body) > self._most:
            why = f"the result takes {len(body)} bytes, more than the {self._most} {self._whose}"
            return self._bad_result(call, context, why)
        metadata = context.reply_metadata if context.has_reply_metadata else None
        try:
            return call.source.answers.packer.result(incoming, body, codec.content_type, metadata)
        except (TypeError, ValueError) as error:
            context.reply_metadata.clear()
            why = f"the handler's reply_metadata cannot be sent: {error}"
            return self._bad_result(call, context, why)

    def error(
        self, call: ServerCall, error: CallError, context: CurrentCall | None = None
    ) -> bytes:
        """The reply with an error.

        The error is about this server only. A call that did not run here may have run elsewhere.
        """
        if error.executed == "no" and may_run_elsewhere(call):
            error.executed = "maybe"
        if call.answer is Answer.OWED:
            self._note(call, error)
        if call.one_way:
            self._note_failed(call, error)
        else:
            call.dead_letter = call.source.dead_letters
        if call.stream is not None and call.entered:
            return _stream_error(call.stream, error, context)
        packer = call.source.answers.packer
        if context is not None and context.has_reply_metadata:
            try:
                return packer.error(call.incoming, error, context.reply_metadata)
            except (TypeError, ValueError):  # as in `result`; here the error is what matters
                pass
        return packer.error(call.incoming, error)

    def error_of_next(self, call: ServerCall, error: CallError) -> bytes:
        """The reply with an error about the next stage of a pipe, which did not get its request."""
        if call.answer is Answer.OWED:
            self._note(call, error)
        incoming = structs.replace(call.incoming, stage=call.incoming.stage + 1)
        return call.source.answers.packer.error(incoming, error)

    def item(self, call: ServerCall, item: Any) -> Body:
        """The body of an item of the results.

        :raises InvalidResult: if it does not fit, or is too large.
        """
        codec = self._codec
        if call.incoming.content_type != codec.content_type:
            codec = self.codec(call.incoming.content_type)
        try:
            body = codec.encode_result(item)
        except ENCODE_ERRORS as error:
            raise InvalidResult(
                f"an item does not fit its annotation: {safe_str(error)}"
            ) from error
        if len(body) > self._most:
            raise InvalidResult(
                f"an item takes {len(body)} bytes, more than the {self._most} {self._whose}"
            )
        return body

    def uploaded(self, message: UploadMessage) -> Any:
        """An item of the upload.

        :raises InvalidArgument: if it cannot be read.
        """
        if message.body is None:
            raise InvalidArgument(
                f"item {message.number} of the upload takes {message.body_size} bytes, more than"
                " the server's max_message_size"
            )
        if message.problem:
            raise InvalidArgument(f"item {message.number} of the upload has {message.problem}")
        try:
            return self._items(message.content_type).decode(message.body)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # as in `arguments`
            why = safe_str(error) or type(error).__name__
            raise InvalidArgument(f"item {message.number} of the upload: {why}") from error

    def _items(self, content_type: str | None) -> ItemCodec:
        """The codec of the items of an upload.

        :raises InvalidArgument: if there is none.
        """
        upload = self._spec.upload
        assert upload is not None
        content_type = content_type or self._spec.content_type
        codec = self._item_codecs.get(content_type)
        if codec is None:
            try:
                codec = item_codec(content_type, upload.item)
            except ContractError as error:
                raise InvalidArgument(str(error)) from error
            if len(self._item_codecs) < _CODECS:
                self._item_codecs[content_type] = codec
        return codec

    def moved(self, call: ServerCall, stream: CallStream) -> bytes:
        """The end of a stream whose handler had not ended; another server may continue it."""
        call.has_moved = True
        return stream.pack_end(None, moved=True)

    def _end(self, call: ServerCall, stream: CallStream, context: CurrentCall) -> bytes:
        metadata = context.reply_metadata if context.has_reply_metadata else None
        try:
            return stream.pack_end(metadata)
        except (TypeError, ValueError) as error:
            context.reply_metadata.clear()
            why = f"the handler's reply_metadata cannot be sent: {error}"
            return self._bad_result(call, context, why)

    def recorded(self, call: ServerCall, recorded: Recorded) -> bytes:
        """The recorded reply to an earlier call with the same idempotency key."""
        if recorded.kind == UNANSWERED:
            if call.one_way:
                return b""
            return self.error(
                call,
                InvalidResult("the call ran before as a one-way request, so there is no reply"),
            )
        if recorded.kind == LARGE:
            size = recorded.body.decode("ascii", "replace")
            return self.error(
                call,
                InvalidResult(
                    f"the call ran before; its reply of {size} bytes was too large to keep"
                ),
            )
        if len(recorded.body) > self._most:  # sent again and again, it would reach nobody
            return self.error(
                call,
                InvalidResult(
                    f"the call ran before; its reply takes {len(recorded.body)} bytes, more than"
                    f" the {self._most} {self._whose}"
                ),
            )
        is_error = recorded.kind == "error"
        if is_error:
            self._note(call, decode_failure(recorded.body, self._spec.raises, ""))
        call.dead_letter = call.source.dead_letters and is_error
        return call.source.answers.packer.recorded(
            call.incoming,
            recorded.body,
            recorded.content_type,
            recorded.metadata,
            is_error=is_error,
        )

    def _note(self, call: ServerCall, error: CallError) -> None:
        """Note that a call ends with an error."""
        call.code = str(error.code)
        call.source.counters.last_error = LastError(
            code=call.code,
            message=shortened(_said(error), _LONGEST_MESSAGE),
            call_id=call.id,
            at=time.time(),
            trace_id=trace_id_of(call.incoming.metadata),
        )
        if self._notes_errors:
            call.failure = error

    def _note_failed(self, call: ServerCall, error: CallError) -> None:
        """Log a one-way request that failed, as nobody is told. It may be kept as well.

        A request that has expired is not kept: its sender said that it is of no more use.
        """
        if call.answer is not Answer.OWED:
            return  # it is what follows from the failure
        source = call.source
        call.dead_letter = source.dead_letters
        if not isinstance(error, RemoteError):  # which is counted and logged as it is raised
            source.failed += 1
            log.warning(
                "%s: a one-way request failed: %s", shown(call), error, extra=fields_of(call)
            )
        is_of_use = error.executed != "no" or call.incoming.expires > time.time()
        if source.keeps_failed and is_of_use and call.incoming.body is not None:
            call.failure = error
            call.dead_letter = True

    def _bad_result(self, call: ServerCall, context: CurrentCall, why: str) -> bytes:
        log.error("%s: %s", shown(call), why, extra=fields_of(call))
        return self.error(call, InvalidResult(why, executed=executed(call)), context)


def _stream_error(stream: CallStream, error: CallError, context: CurrentCall | None) -> bytes:
    if context is not None and context.has_reply_metadata:
        try:
            return stream.pack_error(error, context.reply_metadata)
        except (TypeError, ValueError):  # here the error is what matters
            pass
    return stream.pack_error(error, None)


def _misfit(result: Any, why: str, *, from_handler: bool) -> str:
    """Names whose result the method's annotation forbids: the handler's or a middleware's."""
    if from_handler:
        return f"the handler's result does not fit its annotation: {why}"
    hint = "" if result is not None else "; did it forget to `return await call_next(call)`?"
    return f"a middleware's result does not fit the annotation of the method: {why}{hint}"


def _said(error: CallError) -> str:
    """What an error says, after the class of what a handler raised that nothing declares."""
    text = safe_str(error.message)
    if isinstance(error, RemoteError) and error.type_name:
        return f"{error.type_name}: {text}" if text else error.type_name
    return text
