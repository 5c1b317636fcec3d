"""The upload of one call: what is sent when, and who waits."""

from __future__ import annotations

import asyncio

from leveret.body_parts import Body
from leveret.client.calls.upload import Upload
from leveret.streaming import Credit


class There:
    """A port and a packer, and what went through them."""

    largest = 1000

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.servers: list[str] = []
        self.upload = Upload(self, self._packer_for)

    def _packer_for(self, server: str) -> There:
        self.servers.append(server)
        return self

    def pack(self, kind: str, number: int, body: Body = b"") -> bytes:
        return f"{kind} {number} {bytes(body).decode()}".encode()

    def send(self, frames: bytes, /) -> None:
        self.sent.append(frames)

    def news(self) -> list[bytes]:
        sent, self.sent = self.sent, []
        return sent


def give(got: int, upto: int, *, again: bool = False) -> Credit:
    return Credit(got=got, upto=upto, size=1000, again=again)


async def test_nothing_is_sent_before_there_is_credit_and_then_up_to_it() -> None:
    there = There()
    upload = there.upload
    waiting = asyncio.ensure_future(upload.room())
    await asyncio.sleep(0)
    upload.begin("feed.s1")
    assert (there.servers, waiting.done()) == (["feed.s1"], False)
    upload.credited(give(0, 1))
    await waiting
    upload.add(b"x")
    assert there.news() == [b"item 1 x"]
    waiting = asyncio.ensure_future(upload.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    upload.stop()
    await waiting
    assert upload.is_over
    upload.stop()


async def test_what_is_not_acknowledged_is_sent_again_when_it_is_asked_for() -> None:
    there = There()
    upload = there.upload
    upload.begin("feed.s1")
    upload.credited(give(0, 9))
    for body in (b"x", b"y"):
        upload.add(body)
    upload.say()
    upload.end()
    upload.end()
    assert there.news() == [b"item 1 x", b"item 2 y", b"progress 2 ", b"end 2 "]
    upload.credited(give(1, 9, again=True))
    assert there.news() == [b"item 2 y", b"end 2 "]
    upload.credited(give(7, 9, again=True))  # it has what was never sent
    upload.say()
    assert there.news() == [b"item 2 y", b"end 2 "]
    upload.credited(give(3, 9))
    upload.send_again()
    assert there.news() == []


async def test_before_a_server_has_the_call_there_is_nothing_to_say() -> None:
    there = There()
    there.upload.say()
    assert there.sent == []
