"""The channel of uploads: opened when something is to be sent, again when it is gone."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from leveret.amqp.events import Content
from leveret.amqp.methods import Basic
from leveret.amqp.properties import Properties
from leveret.client.calls.upload_channel import UploadChannel
from leveret.errors import ChannelClosed, ConnectionLost
from tests.unit.client.calls.making import CHANNEL


class Line:
    """A connection whose channels are opened in turn."""

    def __init__(self) -> None:
        self.closed: ConnectionLost | None = None
        self.sent: list[bytes] = []
        self.channels: list[Any] = []
        self.opened = 0
        self.unreachable: list[str] = []
        self.too_large: list[tuple[int, int]] = []
        self.uploads = UploadChannel(
            connection=lambda: self,  # type: ignore[arg-type, return-value]
            begin=asyncio.ensure_future,
            opened=self._opened,
            unreachable=self.unreachable.append,
            largest=lambda: 10,
            too_large=lambda size, most: self.too_large.append((size, most)),
        )

    def _opened(self) -> None:
        self.opened += 1

    async def open_channel(self) -> Any:
        if self.closed is not None:
            raise self.closed
        channel = SimpleNamespace(closed=None, connection=self, number=len(self.channels) + 5)
        self.channels.append(channel)
        return channel

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    async def writable(self) -> None:
        if self.closed is not None:
            raise self.closed


FRAME = b"\x01\x00\x00\x00\x00\x00\x01x\xce"


async def test_it_is_opened_for_the_first_message_and_again_when_it_is_gone() -> None:
    line = Line()
    await line.uploads.writable()
    line.uploads.send(FRAME)
    line.uploads.send(FRAME)
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    assert (line.opened, line.sent) == (1, [])  # the uploads send what they keep
    line.uploads.send(FRAME)
    await line.uploads.writable()
    assert line.sent == [b"\x01\x00\x05\x00\x00\x00\x01x\xce"]
    line.channels[0].closed = ChannelClosed(404, "NOT_FOUND")
    line.uploads.send(FRAME)
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    assert (line.opened, CHANNEL.number) == (2, 1)


async def test_a_connection_that_is_gone_is_no_matter(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "leveret.client")
    line = Line()
    line.closed = ConnectionLost("gone")
    line.uploads.send(FRAME)
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    assert "uploads cannot go on now: gone" in caplog.text
    line.closed = None
    line.uploads.send(FRAME)
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    line.closed = ConnectionLost("gone")
    await line.uploads.writable()


async def test_a_message_that_comes_back_tells_of_its_server_and_a_closed_channel_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = Line()
    line.uploads.send(FRAME)
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    (channel,) = line.channels
    returned = Basic.Return(reply_code=312, reply_text="NO_ROUTE", exchange="", routing_key="")
    channel.on_return(Content(5, returned, Properties(correlation_id="c"), b"", 0))
    assert line.unreachable == ["c"]
    channel.on_close(ChannelClosed(403, "ACCESS_REFUSED"))
    assert "the channel of uploads was closed" in caplog.text
