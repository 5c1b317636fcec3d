"""Calls by name alone: `rabbit.call("fibonacci.fib", n=30)`, for scripts and the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec import Struct

from leveret.codec import MethodCodec, untyped_codec
from leveret.contract import MethodSpec, QueueOptions
from leveret.contract.limits import MAX_NAME_BYTES
from leveret.errors import InvalidArgument
from leveret.wire.native.names import QUEUE_PREFIX


def named_codec(_spec: MethodSpec, content_type: str) -> MethodCodec:
    """A codec of plain values in both directions, for a method whose contract is unknown.

    :raises ContractError: for a content type that calls without a contract cannot have.
    """
    codec = untyped_codec(content_type)
    return MethodCodec(
        content_type=codec.content_type,
        encode_arguments=cast("Callable[[Struct], bytes]", codec.encode_arguments),
        decode_arguments=msgspec.json.decode,
        encode_result=msgspec.json.encode,
        decode_result=codec.decode_result,
    )


def named_spec(key: str) -> MethodSpec:
    """The specification that is assumed for the method "service.method".

    :raises InvalidArgument: if `key` is not a name of this form.
    """
    given: object = key
    if not isinstance(given, str):
        raise InvalidArgument(f'a method is named "service.method"; got {given!r:.80}')
    service, _, name = key.partition(".")
    if not (service.isidentifier() and name.isidentifier()):
        raise InvalidArgument(f'a method is named "service.method"; got {key!r}')
    if len((QUEUE_PREFIX + key).encode()) > MAX_NAME_BYTES:
        raise InvalidArgument(f"the name of a method is too long for a queue's: {key!r}")
    return MethodSpec(
        service=service,
        name=name,
        attribute=name,
        doc="",
        parameters=cast("type[Struct]", dict),
        result=Any,
        timeout=10.0,
        idempotent=False,
        raises={},
        concurrency=1,
        executor="loop",
        queue=QueueOptions(max_priority=255),
        content_type="application/json",
        keyword_only=True,
    )
