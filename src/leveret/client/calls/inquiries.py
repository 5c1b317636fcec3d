"""Questions to servers about themselves, each of which may have any number of answers.

Answers come to the client's reply queue, under the name of the question. Whoever asks decides how
long to wait, and then closes the question. Later answers are dropped.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from leveret.client.calls.route import Route
from leveret.errors import ConnectionLost, LeveretError

_OF_USE: Final = 1.0
"""Seconds for which a question is of use. After that the client asks again."""
MOST_ANSWERS: Final = 100
"""How many answers a question takes by default. Each server may give one."""


class Inquiries:
    """The open questions of one client.

    :param ask: sends a question: `ask(word, key, name, seconds, body)`, of use for so many
        seconds.
    :param ready: waits until messages may go, and returns what is left of the seconds; it raises
        `CallError` if they may not in time.
    """

    def __init__(
        self,
        *,
        ask: Callable[[str, str, str, float, bytes], None],
        ready: Callable[[Inquiry, float], Awaitable[float]],
    ) -> None:
        self._ask = ask
        self._ready = ready
        self._open: dict[str, Inquiry] = {}

    def open(
        self,
        word: str,
        key: str,
        *,
        wait_for_connection: bool = True,
        body: bytes = b"",
        most: int = MOST_ANSWERS,
    ) -> Inquiry:
        """A question to the servers under a routing key; open in a `with` block.

        :param word: "info", "ping", "stats", "calls", "stop" or "started".
        :param most: how many answers it takes.
        """
        return Inquiry(
            self._open,
            self._ask,
            self._ready,
            word,
            key,
            wait_for_connection=wait_for_connection,
            body=body,
            most=most,
        )

    def answered(self, name: str, body: bytes) -> bool:
        """Take an answer; False if there is no such question."""
        inquiry = self._open.get(name)
        if inquiry is None:
            return False
        inquiry.answered(body)
        return True

    def end(self, error: LeveretError) -> None:
        """No answers come any more: tell those who wait for one."""
        for inquiry in self._open.values():
            inquiry.end(error)

    def unbound(self, name: str) -> bool:
        """Nobody listens under the key of this question; False if there is no such question."""
        inquiry = self._open.get(name)
        if inquiry is None:
            return False
        inquiry.unbound()
        return True


class Inquiry:
    """One question, and its answers so far."""

    def __init__(
        self,
        table: dict[str, Inquiry],
        ask: Callable[[str, str, str, float, bytes], None],
        ready: Callable[[Inquiry, float], Awaitable[float]],
        word: str,
        key: str,
        *,
        wait_for_connection: bool,
        body: bytes = b"",
        most: int = MOST_ANSWERS,
    ) -> None:
        self.answers: list[bytes] = []
        """The bodies of the answers, in order of arrival."""
        self.answered_at: list[float] = []
        """When each of them arrived, on the event loop's clock."""
        self.asked_at = 0.0
        """When it was last asked, on the event loop's clock."""
        self.is_unbound = False
        """Whether the broker returned the latest question, as no server listens under its key."""
        self.wait_for_connection = wait_for_connection
        """Whether it waits for a broken connection to come back."""
        self.route = Route(key, "", key)
        """Its name in errors."""
        self._table = table
        self._ask = ask
        self._ready = ready
        self._word = word
        self._key = key
        self._body = body
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._name = secrets.token_urlsafe(12)
        self._is_news = False
        self._over = asyncio.Event()  # the wait for news
        self._ended: LeveretError | None = None

    def __enter__(self) -> Self:
        self._table[self._name] = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del self._table[self._name]

    async def ask(self, timeout: float) -> float:
        """Ask, now or once messages may be sent; returns what is left of `timeout`, in seconds.

        :raises CallError: if they may not in time.
        """
        left = await self._ready(self, timeout)
        self.is_unbound = False
        self.asked_at = self._loop.time()
        self._ask(self._word, self._key, self._name, _OF_USE, self._body)
        return left

    async def news(self, seconds: float) -> bool:
        """Wait for the next answer, or until the broker returns the question.

        :returns: False if nothing came within this number of seconds, or it takes no more answers.
        :raises ConnectionLost: if none will come, as the client is closed.
        """
        if len(self.answers) >= self._most:
            return False
        timer = self._loop.call_later(seconds, self._over.set)
        try:
            await self._over.wait()
        finally:
            timer.cancel()
        self._over.clear()
        if self._ended is not None:
            raise ConnectionLost(f"no answer came: {self._ended}", executed="no") from self._ended
        is_news, self._is_news = self._is_news, False
        return is_news

    def answered(self, body: bytes) -> None:
        """Take an answer."""
        if len(self.answers) < self._most:
            self.answers.append(body)
            self.answered_at.append(self._loop.time())
            self._tell()

    def end(self, error: LeveretError) -> None:
        """No answer comes any more."""
        self._ended = error
        self._over.set()

    def unbound(self) -> None:
        """Nobody listens under its key."""
        self.is_unbound = True
        self._tell()

    def _tell(self) -> None:
        self._is_news = True
        self._over.set()
