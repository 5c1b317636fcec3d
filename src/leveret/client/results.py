"""Reads the replies to a method's calls: values and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from leveret.client.calls.life import Pending
from leveret.codec import DECODE_ERRORS, MethodCodec
from leveret.errors import CallError, ContractError, DeclaredError, InvalidResult
from leveret.wire.failures import decode_failure
from leveret.wire.message import Reply
from leveret.wire.started import Standing


class Results:
    """Reads the replies to the calls of one method.

    :param method: "service.method", for errors.
    :param codec: for replies with the content type of the requests.
    :param make_codec: for replies with another content type. It raises `ContractError` for one that
        Leveret does not speak.
    :param default_content_type: the content type of a reply that does not name its own.
    :param raises: the errors that the contract declares, by code.
    :param expected: what a result is without a contract, for errors.
    """

    def __init__(
        self,
        method: str,
        codec: MethodCodec,
        *,
        make_codec: Callable[[str], MethodCodec],
        default_content_type: str,
        raises: Mapping[str, type[DeclaredError]],
        expected: str = "",
    ) -> None:
        self._method = method
        self._codec = codec
        self._make_codec = make_codec
        self._default_content_type = default_content_type
        self._raises = raises
        self._expected = expected

    @property
    def make_codec(self) -> Callable[[str], MethodCodec]:
        """Makes the codec for replies with another content type."""
        return self._make_codec

    def read(
        self, reply: Reply, call: Pending, reply_metadata: dict[str, str] | None, most: int
    ) -> Any:
        """The value in the reply to a call; an error in it is raised.

        :param reply_metadata: receives the metadata that the handler sent with its result.
        :param most: bytes of the largest body that this client takes, for the error.
        """
        if reply_metadata is not None and reply.metadata:
            reply_metadata.update(reply.metadata)
        if reply.body is None:
            size = reply.body_size
            raise self.invalid(
                call, f"the reply takes {size} bytes, more than the {most} of max_message_size"
            )
        if reply.problem:
            raise self.invalid(call, reply.problem)
        if reply.is_error:
            failure = self.failure(call, reply)
            failure.call_id = call.id
            if failure.executed == "no" and call.doubtful:
                failure.executed = "maybe"  # it is true of the copy that was answered
            raise failure
        try:
            return self._codec_of(reply.content_type).decode_result(reply.body)
        except ContractError as error:
            raise self.invalid(call, str(error)) from error
        except DECODE_ERRORS as error:
            raise self.misfit(call, reply.body, error) from error

    def recorded(self, standing: Standing, reply_metadata: dict[str, str] | None) -> Any:
        """The result of a started call; its error is raised."""
        if reply_metadata is not None and standing.metadata:
            reply_metadata.update(standing.metadata)
        if standing.kind == "error":
            raise decode_failure(standing.body, self._raises, self._method)
        try:
            if standing.kind == "result":
                return self._codec_of(standing.content_type).decode_result(standing.body)
            size = standing.body.decode("ascii", "replace")
            why = f"the result of {size} bytes was not kept, or is more than the broker takes"
        except ContractError as error:
            raise InvalidResult(str(error), method=self._method) from error
        except DECODE_ERRORS as error:
            why = f"the result does not fit the contract: {error}"
            raise InvalidResult(why, method=self._method) from error
        raise InvalidResult(why, method=self._method)

    def failure(self, call: Pending, reply: Reply) -> CallError:
        """The error in a reply."""
        return call.request.dialect.error(reply, self._raises, self._method)

    def misfit(self, call: Pending, body: bytes, error: Exception) -> InvalidResult:
        """The error for a reply that does not fit the contract."""
        what = "the reply does not fit the contract"
        if self._expected:
            what = f"the reply {body[:80]!r} is not {self._expected}"
        return self.invalid(call, f"{what}: {error}")

    def _codec_of(self, content_type: str | None) -> MethodCodec:
        """:raises ContractError: for a content type that Leveret does not speak."""
        content_type = content_type or self._default_content_type
        is_own = content_type == self._codec.content_type
        return self._codec if is_own else self._make_codec(content_type)

    def invalid(self, call: Pending, why: str) -> InvalidResult:
        """The error for a reply that this client cannot read."""
        invalid = InvalidResult(why, method=self._method)
        invalid.call_id = call.id
        return invalid
