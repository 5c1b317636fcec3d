"""The services that the fault tests call: they work for a while and write down what they did."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from leveret import Service, method
from tests.faults.diary import Diary

EXPIRES: Final = 300.0
"""Seconds after which a broker that is not the tests' own forgets the queues."""


class Work(Service):
    """Handlers that write into the diary.

    :param server: what this server is called there.
    """

    def __init__(self, diary: Diary) -> None:
        self._diary = diary

    @method(timeout=5, expires=EXPIRES)
    async def once(self, key: str, seconds: float, padding: str, reply: int) -> str:
        return await self._work(key, seconds, reply)

    @method(timeout=5, idempotent=True, expires=EXPIRES)
    async def again(self, key: str, seconds: float, padding: str, reply: int) -> str:
        return await self._work(key, seconds, reply)

    async def _work(self, key: str, seconds: float, reply: int) -> str:
        self._diary.write(key, "began")
        try:
            if seconds:
                await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self._diary.write(key, "broke off")
            raise
        self._diary.write(key, "ended")
        return answer_to(key, reply)


class Keyed(Work, name="keyed"):
    """The same work, each call with a key: it may be asked for again, and runs once."""

    @method(timeout=5, once=True, expires=EXPIRES)
    async def once(self, key: str, seconds: float, padding: str, reply: int) -> str:
        return await self._work(key, seconds, reply)

    @method(timeout=5, once=True, idempotent=True, expires=EXPIRES)
    async def again(self, key: str, seconds: float, padding: str, reply: int) -> str:
        return await self._work(key, seconds, reply)


class Errands(Keyed, name="errands"):
    """The same for calls that are started: nobody deletes its queues, which would lose them."""


class Threaded(Work, name="threaded"):
    """The same work in threads, of which there are few."""

    @method(timeout=5, expires=EXPIRES, concurrency=3)
    def once(self, key: str, seconds: float, padding: str, reply: int) -> str:
        return self._work_here(key, seconds, reply)

    @method(timeout=5, idempotent=True, expires=EXPIRES, concurrency=3)
    def again(self, key: str, seconds: float, padding: str, reply: int) -> str:
        return self._work_here(key, seconds, reply)

    def _work_here(self, key: str, seconds: float, reply: int) -> str:
        self._diary.write(key, "began")
        time.sleep(seconds)
        self._diary.write(key, "ended")
        return answer_to(key, reply)


class Stages(Service):
    """Three methods that make a pipe, and three that have each of its stages run once."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary

    @method(timeout=30, idempotent=True, expires=EXPIRES)
    async def one(self, key: str) -> str:
        return self._note(key, "one")

    @method(timeout=30, idempotent=True, expires=EXPIRES)
    async def two(self, key: str) -> str:
        return self._note(key, "two")

    @method(timeout=30, idempotent=True, expires=EXPIRES)
    async def three(self, key: str) -> str:
        return self._note(key, "three")

    @method(timeout=30, once=True, expires=EXPIRES)
    async def one_once(self, key: str) -> str:
        return self._note(key, "one")

    @method(timeout=30, once=True, expires=EXPIRES)
    async def two_once(self, key: str) -> str:
        return self._note(key, "two")

    @method(timeout=30, once=True, expires=EXPIRES)
    async def three_once(self, key: str) -> str:
        return self._note(key, "three")

    def _note(self, key: str, stage: str) -> str:
        self._diary.write(f"{key}.{stage}", "began")
        self._diary.write(f"{key}.{stage}", "ended")
        return key


def answer_to(key: str, reply: int) -> str:
    """The right result: the key, made as long as was asked."""
    return key + "y" * (reply - len(key))
