"""`rabbit.start` and `rabbit.attach`: calls that outlive their callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from leveret.client.options import check_key
from leveret.client.verbs.handle import CallHandle
from leveret.client.verbs.remote_methods import remote_method_of
from leveret.client.verbs.started_servers import Inquirer, StartedServers
from leveret.errors import InvalidArgument
from leveret.wire.context import find_current_call, within_current_call
from leveret.wire.started import Standing, StartedQuestion

P = ParamSpec("P")
R = TypeVar("R")

DAY: Final = 86_400.0
"""Seconds."""
LONGEST_KEPT: Final = 4_000_000.0
"""Seconds, 46 days: how long a message may live is a number of 32 bits in milliseconds."""
_LEAST: Final = 0.1
"""Seconds that the broker gets at least, once the servers have answered."""
_STARTED_WITHIN: Final = 10.0
"""Seconds that servers and broker have to take a call, unless its options say otherwise."""


class Starting:
    """Starts calls, and finds those that were started.

    :param client_here: gives the client of the running event loop.
    """

    def __init__(self, client_here: Callable[[], Inquirer]) -> None:
        self._servers = StartedServers(client_here)

    def start(
        self, method: Callable[P, Awaitable[R]], key: str, keep: float
    ) -> Callable[P, Coroutine[Any, Any, CallHandle[R]]]:
        """Make of a remote method what starts its calls, with the same parameters.

        :raises InvalidArgument: for anything but a method of a remote, a key or a time.
        """
        remote = remote_method_of(method, "start")
        check_key(key)
        if not 0.001 <= keep <= LONGEST_KEPT:
            raise InvalidArgument(
                f"keep is a number of seconds, up to {LONGEST_KEPT:.0f}; got {keep!r}"
            )

        starting = remote.started(key, keep)

        async def send(arguments: Mapping[str, Any], metadata: dict[str, str]) -> CallHandle[R]:
            timeout = remote.given_timeout or _STARTED_WITHIN
            if find_current_call() is not None:
                timeout = within_current_call(timeout, remote.spec.key)
            loop = asyncio.get_running_loop()
            give_up = loop.time() + timeout
            remote.invocation.encoded(arguments)
            call_id = remote.invocation.new_id()
            expect = StartedQuestion(
                ask="expect", method=remote.spec.key, key=key, start=call_id, keep=keep
            )
            await self._servers.ask(expect, timeout)
            left = max(give_up - loop.time(), _LEAST)
            await starting.request(call_id, arguments, metadata, left)
            return self._handle(remote.spec.key, key, call_id, remote.read_standing)

        def start(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, CallHandle[R]]:
            return remote.through_middleware(send, args, kwargs)

        return start

    def attach(self, method: Callable[P, Awaitable[R]], key: str) -> CallHandle[R]:
        """The started call with this key.

        :raises InvalidArgument: for anything but a method of a remote, or a key.
        """
        remote = remote_method_of(method, "attach")
        check_key(key)
        return self._handle(remote.spec.key, key, "", remote.read_standing)

    def _handle(
        self, method: str, key: str, call_id: str, read: Callable[[Standing], R]
    ) -> CallHandle[R]:
        return CallHandle(method, key, call_id, self._servers, read)
