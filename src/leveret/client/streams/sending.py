"""Draws the items of an upload from their source, as fast as the server takes them."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
)
from typing import Any, TypeAlias

from leveret.body_parts import Body
from leveret.client.calls.upload import Upload
from leveret.client.streams.plain_sources import draw
from leveret.codec import ENCODE_ERRORS
from leveret.errors import Cancelled, InvalidArgument

Source: TypeAlias = AsyncIterable[Any] | Iterable[Any]
"""The items to upload."""


async def send_items(
    source: Source,
    upload: Upload,
    encode: Callable[[Any], Body],
    writable: Callable[[], Awaitable[None]],
) -> None:
    """Send all items of a source, and the end.

    No item is drawn before the server takes it. If the call ends first, the source is closed,
    unless no item was drawn from it: then it can be given to another call.

    :raises InvalidArgument: if an item does not fit the contract, or is too large. Its handler has
        begun, as no item is drawn before that.
    :raises Cancelled: if what the source waits for is cancelled.
    :raises BaseException: what the source raises.
    """
    await upload.room()
    if upload.is_over:
        return
    upload.is_drawn = True
    items = source if isinstance(source, AsyncIterable) else draw(source)
    iterator = aiter(items)
    try:
        while True:
            await upload.room()
            if upload.is_over:
                return
            try:
                item = await anext(iterator)
            except StopAsyncIteration:
                break
            body = _encoded(item, upload, encode)
            await writable()
            if upload.is_over:
                return
            upload.add(body)
        upload.end()
    except asyncio.CancelledError as cancelled:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        why = "the source of the upload was cancelled"
        raise Cancelled(why, executed="yes") from cancelled
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


def _encoded(item: Any, upload: Upload, encode: Callable[[Any], Body]) -> Body:
    """The body of the next item.

    :raises InvalidArgument: if it does not fit, or is too large.
    """
    number, largest = upload.half.number + 1, upload.largest
    try:
        body = encode(item)
    except ENCODE_ERRORS as error:
        raise InvalidArgument(f"item {number} of the upload: {error}", executed="yes") from error
    if len(body) > largest:
        raise InvalidArgument(
            f"item {number} of the upload takes {len(body)} bytes, more than the {largest} of"
            " max_message_size, or than the broker takes",
            executed="yes",
        )
    return body


def is_source(given: object) -> bool:
    """Whether a value can be uploaded item by item; text and bytes are likely mistakes."""
    return isinstance(given, AsyncIterable | Iterable) and not isinstance(
        given, str | bytes | bytearray | memoryview
    )
