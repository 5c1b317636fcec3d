"""For the files that do input and output: a broker in memory, a link to it, and a bare peer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from leveret.broker import EmbeddedBroker
from leveret.transport.link import Link
from leveret.transport.reconnect import Reconnect
from leveret.transport.url import parse_url
from leveret.wire.native.topology import declare_exchanges
from tests.behaviour.raw import RawPeer


@pytest.fixture
async def embedded() -> AsyncIterator[EmbeddedBroker]:
    """A broker in the event loop of the test, on a port of its own."""
    async with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
async def link(embedded: EmbeddedBroker) -> AsyncIterator[Link]:
    """An open link, which comes back soon, and the exchanges of the wire protocol."""
    link = Link(
        parse_url(embedded.url),
        name="a test",
        max_message_size=1 << 20,
        reconnect=Reconnect(first=0.01, most=0.02),
        prepare=declare_exchanges,
    )
    await link.open()
    yield link
    await link.close()


@pytest.fixture
async def raw(embedded: EmbeddedBroker, link: Link) -> AsyncIterator[RawPeer]:
    """A peer with a reply queue, once the exchanges are there."""
    peer = await RawPeer.open(embedded.url)
    await peer.listen()
    yield peer
    await peer.close()
