"""The brokers that behaviour tests run on, behind one face: RabbitMQ says what is right."""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from leveret.broker import EmbeddedBroker, Permissions, User
from leveret.testing import RabbitMQ
from tests.vhosts import Vhosts

KINDS: Final = ("rabbitmq", "embedded")

_T = TypeVar("_T")

PATIENCE: Final = 15.0
"""Seconds after which an embedded broker that does not start or stop is stuck."""


class Broker(Protocol):
    """One vhost that is a test's alone, and what an operator may do there."""

    @property
    def url(self) -> str:
        """Of the vhost, as `guest`."""

    @property
    def vhost(self) -> str:
        """Its name, which stands in many a reply text."""

    def add_user(self, name: str, password: str, *, configure: str, write: str, read: str) -> None:
        """A user who may touch what the patterns match."""

    def add_stranger(self, name: str, password: str) -> None:
        """A user who may enter no vhost."""

    def change_password(self, name: str, password: str) -> None:
        """Of a user who is there; connections that are open stay open."""

    def limit_channels(self, name: str, most: int) -> None:
        """How many channels a user who is there may have from now on."""

    def queues(self) -> list[str]:
        """The names of all queues of the vhost."""


class OnRabbitMQ:
    """A vhost on the run's RabbitMQ, or the default one of a broker that is not ours."""

    def __init__(self, rabbitmq: RabbitMQ, vhosts: Vhosts) -> None:
        self._rabbitmq = rabbitmq
        self._vhosts = vhosts
        if rabbitmq.owned:
            self.vhost = vhosts.take()
            self.url = rabbitmq.url + self.vhost
        else:
            self.vhost = urlsplit(rabbitmq.url).path[1:] or "/"
            self.url = rabbitmq.url
        self._users: list[str] = []

    def add_user(self, name: str, password: str, *, configure: str, write: str, read: str) -> None:
        self.add_stranger(name, password)
        patterns = ", ".join(map(_binary, (configure, write, read)))
        self._rabbitmq.evaluate(
            f'rabbit_auth_backend_internal:set_permissions(<<"{name}">>, <<"{self.vhost}">>, '
            f'{patterns}, <<"leveret">>)'
        )

    def add_stranger(self, name: str, password: str) -> None:
        self._users.append(name)
        self._rabbitmq.evaluate(
            f'rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"{password}">>, <<"leveret">>)'
        )

    def change_password(self, name: str, password: str) -> None:
        self._rabbitmq.evaluate(
            f'rabbit_auth_backend_internal:change_password(<<"{name}">>, <<"{password}">>, '
            '<<"leveret">>)'
        )

    def limit_channels(self, name: str, most: int) -> None:
        limits = _binary(f'{{"max-channels": {most}}}')
        self._rabbitmq.evaluate(
            f'rabbit_auth_backend_internal:set_user_limits(<<"{name}">>, {limits}, <<"leveret">>)'
        )

    def queues(self) -> list[str]:
        names = self._rabbitmq.evaluate(
            f'[io_lib:format("~ts", [element(4, amqqueue:get_name(Queue))]) '
            f'|| Queue <- rabbit_amqqueue:list(<<"{self.vhost}">>)]'
        )
        return re.findall(r'"([^"]*)"', names)

    def close(self) -> None:
        for name in self._users:
            self._rabbitmq.evaluate(
                f'rabbit_auth_backend_internal:delete_user(<<"{name}">>, <<"leveret">>)'
            )
        if self._rabbitmq.owned:
            self._vhosts.give_back(self.vhost)


def _binary(text: str) -> str:
    """A text in Erlang's terms; between quotes a backslash would be lost."""
    return f"<<{','.join(map(str, text.encode()))}>>"


class Loop:
    """An event loop in a thread of its own, where embedded brokers run beside the tests."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.complaints: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self._thread = threading.Thread(target=self._loop.run_forever, name="embedded brokers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """What the coroutine returns, there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def tasks(self) -> int:
        """How many tasks run there, besides the one that counts."""
        return len(asyncio.all_tasks()) - 1


class OnEmbedded:
    """An embedded broker that is this test's alone."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.vhost = f"test-{secrets.token_hex(4)}"
        self.broker = EmbeddedBroker()
        loop.run(self.broker.start())
        self.url = loop.run(self._add_vhost())
        self._users = self.broker.node.users

    async def _add_vhost(self) -> str:
        return self.broker.add_vhost(self.vhost)

    def add_user(self, name: str, password: str, *, configure: str, write: str, read: str) -> None:
        allowed = Permissions(configure=configure, write=write, read=read)
        self._users[name] = User(password=password, permissions={self.vhost: allowed})

    def add_stranger(self, name: str, password: str) -> None:
        self._users[name] = User(password=password, permissions={})

    def change_password(self, name: str, password: str) -> None:
        self._users[name] = msgspec.structs.replace(self._users[name], password=password)

    def limit_channels(self, name: str, most: int) -> None:
        self._users[name] = msgspec.structs.replace(self._users[name], max_channels=most)

    def queues(self) -> list[str]:
        return list(self.broker.node.vhosts[self.vhost].queues)

    def close(self) -> None:
        """Stop it; no task of it stays, and nothing failed in it unseen."""
        self._loop.run(self.broker.close())
        complaints, self._loop.complaints = self._loop.complaints, []
        assert not complaints, f"the embedded broker failed within: {complaints}"
        assert self._loop.run(self._loop.tasks()) == 0, "a task of the embedded broker goes on"
