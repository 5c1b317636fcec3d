"""`rabbit.ask_one`: one server, named by its instance, runs a call."""

from __future__ import annotations

import re
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, ParamSpec, TypeVar, cast

from leveret.client.invocation import Terms
from leveret.client.invocations import MakeCodec
from leveret.client.invokes import MakesCalls
from leveret.client.options import CallOptions, GivenOptions
from leveret.client.remote_method import RemoteMethod
from leveret.client.verbs.answers import Answers
from leveret.client.verbs.asking import Asker, AskingServers, check_options
from leveret.client.verbs.remote_methods import remote_method_of
from leveret.contract import MethodSpec
from leveret.errors import DeadlineExceeded, InvalidArgument, MaybeExecuted

P = ParamSpec("P")
R = TypeVar("R")

_STALL: Final = 2.0
"""Seconds without a message from the server after which it counts as gone."""
_INSTANCE: Final = re.compile("[0-9a-f]{8}")


def ask_one(
    method: Callable[P, Awaitable[R]],
    instance: str,
    client_here: Callable[[], Asker],
    options: GivenOptions,
    *,
    timeout: float | None,
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Turn a remote method into one that one server runs, with the same parameters.

    :param options: replace those of its remote.
    :raises InvalidArgument: for anything but a method of a remote, for an invalid instance, and
        for options that these calls cannot have.
    """
    remote = remote_method_of(method, "ask_one").changed(options)
    if not _INSTANCE.fullmatch(str(instance)):
        raise InvalidArgument(
            'the instance of a server is eight hexadecimal digits, as in "b47af560";'
            f" `leveret ls --instances` shows them; got {instance!r:.80}"
        )

    def made(
        spec: MethodSpec, options: CallOptions, make_codec: MakeCodec, like: MakesCalls
    ) -> _AskingOne:
        check_options("ask_one", spec, options)
        if options.wait_for_server:
            raise InvalidArgument(
                "ask_one does not take wait_for_server: a server that starts has a new name",
                method=spec.key,
            )
        asking = AskingServers(spec, options, make_codec, client_here, like, _STALL, instance)
        return _AskingOne(asking, spec.key, instance)

    asking: RemoteMethod = remote.through(made, timeout=timeout)
    return cast("Callable[P, Coroutine[Any, Any, R]]", asking)


class _AskingOne:
    """Makes the calls in place of the `Invocation` of a remote method, to one server."""

    def __init__(self, asking: AskingServers, key: str, instance: str) -> None:
        self.parameters = asking.parameters
        self.new_id = asking.new_id
        self._asking = asking
        self._key = key
        self._instance = instance

    async def call(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        terms: Terms,
        ids: Iterator[str] | None = None,
    ) -> Any:
        """Make one call, as `Invocation.call` does."""
        time = get_running_loop().time
        end = time() + terms.timeout
        answers = await self._asking.call(args, kwargs, terms, ids)
        if self._instance in answers.results:
            return answers.results[self._instance]
        raise self._failure(answers, is_late=time() >= end)

    def _failure(self, answers: Answers[Any], *, is_late: bool) -> Exception:
        failed = answers.errors.get(self._instance)
        if failed is not None:
            return failed
        silent = f"no answer came from the server {self._instance}"
        if is_late:
            return DeadlineExceeded(silent, where="unknown", method=self._key)
        return MaybeExecuted(
            f"{silent}: it is gone or out of reach, and no other server has the request",
            executed="maybe",
            method=self._key,
        )
