"""The headers of requests and replies: what they are called, and how they are read.

Headers come from strangers. A value of another type than the protocol's counts as absent.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from leveret.wire.message import MAX_STAGES, StreamRequest

DEADLINE: Final = "deadline"
"""When the caller stops waiting, in milliseconds since 1970. It is the last header of a request:
`amqp/properties.py` reads it without decoding the others again."""
METADATA: Final = "metadata"
"""Text by name, sent with arguments or a result."""
IDEMPOTENCY_KEY: Final = "idempotency-key"
"""The caller's own name for what it wants done once."""
RESENT: Final = "resent"
"""The client sent this request before, and does not know what became of that."""
WAITS: Final = "waits"
"""The caller waits for a server until the deadline: it does not give up because there is none."""
PROGRESS: Final = "progress"
"""The caller wants to be told how far its call is."""
STARTED: Final = "started"
"""The call outlives its caller: what it ends with is kept for this many milliseconds."""
METHOD: Final = "method"
"""Of a call that every server of a service runs: the method, without the service's name."""
INSTANCE: Final = "instance"
"""Of a reply to a call for all servers, or for one by its name: the server that it is from."""
ATTEMPT: Final = "attempt"
"""How often the request was redelivered; servers of classic queues count it."""
ON_BEHALF_OF: Final = "on-behalf-of"
"""Whose request it is that a server hands back: the user that it came with."""
OLD: Final = "old"
"""The original of a copy was in its queue before the server that publishes the copy, so its caller
may have been told that there is no server."""
HANDED_BACK: Final = "handed-back"
"""The message is a copy of a request, made by a server. True: the server has the original until the
broker has the copy. False: it has not."""
STAGE: Final = "stage"
"""The number of a stage of a pipe, from 1 on."""
THEN: Final = "then"
"""The stages of a pipe after this one."""
STAGE_CONTENT_TYPE: Final = "content-type"
"""The encoding of the body of a stage's request, whose `content_type` says that it is one."""

# Those of streams.
NUMBER: Final = "n"
"""Of an item: its number, from 1. Of an end or an error: how many items came before. Of a sign of
life: the highest number that was sent."""
CURSOR: Final = "cursor"
"""Of an item: where to go on after it. Of a request: where to go on."""
MOVED: Final = "moved"
"""Of an end: the server stops; the stream goes on elsewhere."""
GOT: Final = "got"
"""Of a credit: the highest number that was received in a row, the end counted as one more."""
UPTO: Final = "upto"
"""Of a credit: the highest number of an item that may be sent."""
BYTES: Final = "bytes"
"""Of a credit: no item may begin at or above this sum of the sizes of all bodies before it."""
AGAIN: Final = "again"
"""Of a credit: all that comes after `got` is to be sent once more."""
CREDIT_ITEMS: Final = "credit"
"""Of a request: how many items the caller takes at first."""
CREDIT_BYTES: Final = "credit-bytes"
"""Of a request: no item may begin at or above this sum of the sizes of all bodies before it."""
PACKED: Final = "packed"
"""Of a request: the caller takes messages of several items, with bodies of up to this number of
bytes."""
UPLOADS: Final = "uploads"
"""Of a request: the caller will send items of its own."""
TOTAL: Final = "total"
"""Of a request: when its stream has to be over, in milliseconds since 1970."""

_NOT_COMPRESSED: Final = frozenset({"", "identity", "utf-8", "utf8", "us-ascii", "binary"})
"""What some libraries put into `content_encoding` though the body is as it is."""

_LONGEST_NAME: Final = 128
"""In bytes (AMQP 0-9-1, section 4.2.5.5)."""
_U32 = struct.Struct(">I").pack

Headers = dict[str, Any] | None


def pack_metadata(metadata: Mapping[str, str]) -> bytes:
    """The header with metadata, as it stands in a header table: this is on the path of each call.

    :raises TypeError: if the metadata does not map text to text, or a name has over 128 bytes.
    :raises ValueError: if it is not Unicode.
    """
    entries = b""
    try:
        for name, value in sorted(metadata.items()) if len(metadata) > 1 else metadata.items():
            key, text = name.encode(), value.encode()
            if len(key) > _LONGEST_NAME:
                raise TypeError(f"a name in metadata has at most 128 bytes: {name[:40]!r}...")
            entries += b"%c%bS%b%b" % (len(key), key, _U32(len(text)), text)
    except AttributeError as error:
        raise TypeError(f"metadata must map text to text; got {metadata!r}") from error
    return b"\x08metadataF" + _U32(len(entries)) + entries


def metadata_of(headers: Headers) -> dict[str, str] | None:
    """The metadata of a message without the values that are not text; None if it has none."""
    metadata = (headers or {}).get(METADATA)
    if not isinstance(metadata, dict):
        return None
    return {key: value for key, value in metadata.items() if isinstance(value, str)}


def attempts(headers: Headers) -> int:
    """How often a request was delivered again, as the servers of classic queues count it."""
    count = (headers or {}).get(ATTEMPT)
    return count if type(count) is int and count > 0 else 0


def delivery_count(headers: Headers) -> int | None:
    """How often a quorum queue delivered a message before; None for other queues."""
    count = (headers or {}).get("x-delivery-count")
    return count if type(count) is int else None


def idempotency_key(headers: Headers) -> str | None:
    """The caller's own name for what it wants done once; None if it gives none."""
    key = (headers or {}).get(IDEMPOTENCY_KEY)
    return key if isinstance(key, str) else None


def on_behalf_of(headers: Headers) -> str | None:
    """The user whose request a server handed back; None if the header is absent."""
    user = (headers or {}).get(ON_BEHALF_OF)
    return user if isinstance(user, str) else None


def is_resent(headers: Headers) -> bool:
    """Whether a client sent this request before."""
    return bool((headers or {}).get(RESENT))


def is_old(headers: Headers) -> bool:
    """Whether the original of a copy was in its queue before the server that published the copy."""
    return bool((headers or {}).get(OLD))


def does_wait(headers: Headers) -> bool:
    """Whether a caller waits for a server until the deadline."""
    return bool((headers or {}).get(WAITS))


def does_want_progress(headers: Headers) -> bool:
    """Whether a caller wants to be told how far its call is."""
    return bool((headers or {}).get(PROGRESS))


def stage_of(headers: Headers) -> int:
    """The number of the stage of a pipe that a message is of; 0 if it is of none."""
    stage = (headers or {}).get(STAGE)
    return stage if type(stage) is int and 0 < stage <= MAX_STAGES else 0


def seconds_kept(headers: Headers) -> float | None:
    """Seconds for which the outcome of a started call is kept; None for any other call.

    Without a key nobody could ask for it.
    """
    kept = None if idempotency_key(headers) is None else (headers or {}).get(STARTED)
    return kept / 1000 if type(kept) is int and kept > 0 else None


def instance_of(headers: Headers) -> str:
    """The server that a reply to a call of all servers is from; "" if it does not say."""
    instance = (headers or {}).get(INSTANCE)
    return instance if isinstance(instance, str) else ""


def is_copy(headers: Headers) -> bool:
    """Whether the message is a copy of a request that a server made."""
    return HANDED_BACK in (headers or {})


def has_original(headers: Headers) -> bool:
    """Whether the message is a copy of a request that its server still has."""
    return bool((headers or {}).get(HANDED_BACK))


def stream_request(headers: Headers) -> StreamRequest | None:
    """What a request says of streams; None if it says nothing."""
    found = headers or {}
    items, uploads = found.get(CREDIT_ITEMS), found.get(UPLOADS) is True
    if not uploads and not _is_count(items):
        return None
    size, total, cursor = found.get(CREDIT_BYTES), found.get(TOTAL), found.get(CURSOR)
    packed = found.get(PACKED)
    return StreamRequest(
        items=items if _is_count(items) else 0,
        size=size if _is_count(size) else 0,
        packed=packed if _is_count(packed) else 0,
        uploads=uploads,
        total=total / 1000 if type(total) is int else None,
        cursor=cursor if isinstance(cursor, str) else "",
    )


def number_of(headers: Headers) -> int | None:
    """The number of a message of a stream; None if it has none."""
    number = (headers or {}).get(NUMBER)
    return number if _is_count(number) else None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def bounce_reason(headers: Headers) -> str:
    """Why the broker sent a request back: the newest reason in x-death, "" if there is none.

    One of "expired", "rejected", "maxlen", "delivery_limit" (https://www.rabbitmq.com/docs/dlx).
    """
    deaths = (headers or {}).get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        return str(deaths[0].get("reason", ""))
    return ""


def problem_of(content_encoding: str | None) -> str:
    """What is wrong with a body of this `content_encoding`: Leveret never decompresses."""
    if content_encoding is None or content_encoding.lower() in _NOT_COMPRESSED:
        return ""
    return f"the content_encoding {content_encoding!r}; bodies are never compressed"
