"""`rabbit.start` and `rabbit.attach`: calls that outlive their callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from msgspec import structs

from leveret.client.options import GivenOptions, check_key
from leveret.client.remote_method import RemoteMethod
from leveret.client.verbs.handle import CallHandle
from leveret.client.verbs.pipe import (
    changed_pipe,
    check_key_of_pipe,
    key_of_stage,
    stages_of,
    started_pipe,
)
from leveret.client.verbs.pipe_handle import PipeHandle, StageOfHandle
from leveret.client.verbs.remote_methods import startable
from leveret.client.verbs.started_servers import Inquirer, StartedServers
from leveret.errors import CallError, InvalidArgument
from leveret.given_numbers import is_number
from leveret.wire.context import find_current_call, within_current_call
from leveret.wire.started import StartedQuestion

P = ParamSpec("P")
R = TypeVar("R")

DAY: Final = 86_400.0
"""Seconds in a day."""
LONGEST_KEPT: Final = 4_000_000.0
"""Seconds, about 46 days, as a message's time to live is a number of 32 bits in milliseconds."""
_LEAST: Final = 0.1
"""Seconds that the broker has at least, once the servers have answered."""
_LEAST_TO_WITHDRAW: Final = 0.05
"""Seconds that servers have at least to hear that a request does not come."""
_STARTED_WITHIN: Final = 10.0
"""Seconds that servers and broker have to take a call, by default."""


class Starting:
    """Starts calls, and finds those that were started.

    :param client_here: gives the client of the running event loop.
    """

    def __init__(self, client_here: Callable[[], Inquirer]) -> None:
        self._servers = StartedServers(client_here)

    def start(
        self, method: Callable[P, Awaitable[R]], key: str, keep: float, options: GivenOptions
    ) -> Callable[P, Coroutine[Any, Any, CallHandle[R]]]:
        """Turn a remote method into one that starts calls, with the same parameters.

        :param options: replace those of its remote.
        :raises InvalidArgument: for anything but a method of a remote, or an invalid key or time.
        """
        remote = _with(options, startable(method, "start"))
        check_key(key)
        if remote.invocation.is_pipe:
            check_key_of_pipe(key)
        _check_keep(keep)
        if remote.invocation.is_pipe:
            starting = started_pipe(remote, key, keep)
        else:
            starting = remote.started(key, keep)
        called = _keys_of(remote, key)

        async def send(
            arguments: Mapping[str, Any], metadata: dict[str, str], timeout: float
        ) -> CallHandle[R]:
            if find_current_call() is not None:
                timeout = within_current_call(timeout, remote.spec.key)
            loop = asyncio.get_running_loop()
            give_up = loop.time() + timeout
            remote.invocation.encoded(arguments)
            call_id = remote.invocation.new_id()
            expected: list[StartedQuestion] = []
            may_be_sent = False
            try:
                for stage, its_key in called:
                    expect = StartedQuestion(
                        ask="expect", method=stage.spec.key, key=its_key, start=call_id, keep=keep
                    )
                    expected.append(expect)
                    await self._servers.ask(expect, max(give_up - loop.time(), _LEAST))
                left = max(give_up - loop.time(), _LEAST)
                may_be_sent = True
                await starting.request(call_id, arguments, metadata, left)
            except (CallError, asyncio.CancelledError) as error:
                if isinstance(error, CallError):
                    may_be_sent = error.executed != "no"
                if not may_be_sent:
                    await self._withdraw(expected, give_up - loop.time())
                raise
            return self._handle(remote, key, call_id)

        def start(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, CallHandle[R]]:
            timeout = remote.given_timeout or _STARTED_WITHIN
            return remote.through_middleware(send, args, kwargs, timeout)

        return start

    async def _withdraw(self, expected: list[StartedQuestion], left: float) -> None:
        """Have the servers expect no request of a start that has failed.

        :param left: seconds until the start has to end.
        """
        withdrawn = (structs.replace(expect, ask="withdraw", keep=0.0) for expect in expected)
        seconds = max(left, _LEAST_TO_WITHDRAW)
        await asyncio.gather(*(self._servers.withdraw(each, seconds) for each in withdrawn))

    def attach(
        self, method: Callable[P, Awaitable[R]], key: str, options: GivenOptions
    ) -> CallHandle[R]:
        """The started call with this key.

        :param options: replace those of the method's remote.
        :raises InvalidArgument: for anything but a method of a remote, or a key.
        """
        remote = _with(options, startable(method, "attach"))
        check_key(key)
        return self._handle(remote, key, "")

    def _handle(self, remote: RemoteMethod, key: str, call_id: str) -> CallHandle[Any]:
        servers = self._servers
        if not remote.invocation.is_pipe:
            return CallHandle(remote.spec.key, key, call_id, servers, remote.read_standing)
        told = remote.options.reply_metadata
        stages = [
            StageOfHandle(
                handle=self._handle(stage, its_key, call_id),
                read=stage.as_a_stage(told).read_standing,
            )
            for stage, its_key in _keys_of(remote, key)
        ]
        return PipeHandle(remote.spec.key, key, call_id, servers, stages)


def _check_keep(keep: object) -> None:
    """:raises InvalidArgument: if it is not a number of seconds that a message can live."""
    if not (is_number(keep) and 0.001 <= keep <= LONGEST_KEPT):
        raise InvalidArgument(
            f"keep is a number of seconds, up to {LONGEST_KEPT:.0f}; got {keep!r}"
        )


def _with(options: GivenOptions, remote: RemoteMethod) -> RemoteMethod:
    changed = changed_pipe if remote.invocation.is_pipe else RemoteMethod.changed
    return changed(remote, options)


def _keys_of(remote: RemoteMethod, key: str) -> list[tuple[RemoteMethod, str]]:
    """The methods that a started call goes through, each with its key there."""
    if not remote.invocation.is_pipe:
        return [(remote, key)]
    stages = enumerate(stages_of(remote), start=1)
    return [(stage, key_of_stage(key, number)) for number, stage in stages]
