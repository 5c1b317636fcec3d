"""Requests of the stages of a pipe: what the client writes into the first, and servers pass on.

The `content_type` of such a request says that it is one, and a header has that of its body. So a
server that knows no pipes refuses the request, before it runs anything: it would answer the result
of its own stage as that of the pipe, and take a request that was passed on for one of the server
that passes it on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct, structs

from leveret.amqp.frames import content_frames, publish_prefix
from leveret.amqp.properties import Properties, encode_properties
from leveret.amqp.tables import encode_table
from leveret.wire.message import MAX_STAGES, Next, Stage
from leveret.wire.native.headers import (
    ATTEMPT,
    DEADLINE,
    HANDED_BACK,
    IDEMPOTENCY_KEY,
    OLD,
    ON_BEHALF_OF,
    RESENT,
    STAGE,
    STAGE_CONTENT_TYPE,
    THEN,
    Headers,
    idempotency_key,
    seconds_kept,
    stage_of,
)
from leveret.wire.native.names import EXCHANGE

OF_A_STAGE: Final = "application/vnd.leveret.stage"
"""The content type of the requests of stages."""

_METHOD: Final = "method"
_ARGUMENT: Final = "argument"
_CONTENT_TYPE: Final = "content-type"
_REPEATABLE: Final = "repeatable"

_OF_ONE_REQUEST: Final = frozenset(
    {
        ATTEMPT,
        DEADLINE,
        HANDED_BACK,
        OLD,
        IDEMPOTENCY_KEY,
        ON_BEHALF_OF,
        RESENT,
        STAGE,
        STAGE_CONTENT_TYPE,
        THEN,
    }
)
"""The headers that the request of the next stage does not have from the one before it."""

_method = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*").fullmatch


class ReadStage(Struct, frozen=True, kw_only=True, gc=False):
    """What a request says of the pipe that it is of."""

    number: int = 0
    """Its stage, from 1 on; 0 if it is of no pipe."""
    then: tuple[Stage, ...] = ()
    """The stages after it."""
    content_type: str = ""
    """The encoding of its body."""
    problem: str = ""
    """Why it cannot be read; "" if it can."""


STAGE_OF_NO_PIPE: Final = ReadStage()
"""What a request says that is of no pipe."""

_UNREADABLE: Final = "a pipe around it that cannot be read"


def pack_stages(then: Sequence[Stage], content_type: str) -> bytes:
    """The headers of the first request of a pipe, packed.

    :param then: the stages after the first.
    :param content_type: the encoding of the first one's arguments.
    """
    headers = {
        STAGE: 1,
        STAGE_CONTENT_TYPE: content_type,
        THEN: [_packed(stage) for stage in then],
    }
    return encode_table(headers)[4:]


def _packed(stage: Stage) -> dict[str, Any]:
    packed: dict[str, Any] = {
        _METHOD: stage.method,
        _ARGUMENT: stage.argument,
        _CONTENT_TYPE: stage.content_type,
    }
    if stage.repeatable:
        packed[_REPEATABLE] = True
    return packed


def read_stage(headers: Headers, properties: Properties) -> ReadStage:
    """What a request says whose content type is `OF_A_STAGE`. It never raises."""
    number, content_type = stage_of(headers), (headers or {}).get(STAGE_CONTENT_TYPE)
    listed = (headers or {}).get(THEN, [])
    then = [_read(entry) for entry in listed] if isinstance(listed, list) else [None]
    stages = tuple(stage for stage in then if stage is not None)
    if (
        number == 0
        or not isinstance(content_type, str)
        or len(stages) < len(then)
        or number + len(then) > MAX_STAGES
        or not properties.correlation_id
        or (properties.reply_to is None and seconds_kept(headers) is None)
    ):
        return ReadStage(number=number or 1, content_type="", problem=_UNREADABLE)
    return ReadStage(number=number, then=stages, content_type=content_type)


def _read(entry: object) -> Stage | None:
    """A stage of the list; None if it is none."""
    if not isinstance(entry, dict):
        return None
    method, argument, content_type = (
        entry.get(name) for name in (_METHOD, _ARGUMENT, _CONTENT_TYPE)
    )
    if not (
        isinstance(method, str)
        and isinstance(argument, str)
        and isinstance(content_type, str)
        and _method(method)
        and argument.isidentifier()
        and not argument.startswith("__")
    ):
        return None
    return Stage(
        method=method,
        argument=argument,
        content_type=content_type,
        repeatable=entry.get(_REPEATABLE) is True,
    )


def pack_next(request: Next, *, channel: int, frame_max: int) -> bytes:
    """The request of the next stage, as the server of the stage before it publishes it.

    The client's metadata goes along, and so do headers that this server does not know.

    :raises TypeError, ValueError: if it has headers that only its sender could pack, or that do not
        fit into a frame any more.
    """
    before = request.request
    stage, then = before.then[0], before.then[1:]
    properties = before.delivery.properties
    old = properties.headers or {}
    headers = {
        name: value
        for name, value in old.items()
        if name not in _OF_ONE_REQUEST and not name.startswith("x-")
    }
    number = before.stage + 1
    headers[STAGE] = number
    headers[STAGE_CONTENT_TYPE] = stage.content_type
    if then:
        headers[THEN] = [_packed(one) for one in then]
    key = idempotency_key(old)
    if key is not None:
        headers[IDEMPOTENCY_KEY] = f"{key.removesuffix(f'/{before.stage}')}/{number}"
    if request.resent:
        headers[RESENT] = True
    user, own_user = request.user, request.own_user
    if user and own_user and user != own_user:
        headers[ON_BEHALF_OF] = user
    if DEADLINE in old:
        headers[DEADLINE] = old[DEADLINE]
    packed = encode_properties(
        structs.replace(
            properties,
            headers=headers,
            priority=None,
            user_id=own_user if user and own_user else None,
            expiration=str(max(1, int(request.seconds * 1000))),
        )
    )
    publish = publish_prefix(channel, EXCHANGE, stage.method, mandatory=True)
    return publish + content_frames(channel, packed, request.body, frame_max)
