"""Finds the remote method that a verb was given, which is any callable to type checkers."""

from __future__ import annotations

from leveret.client.remote_method import RemoteMethod
from leveret.client.streams.method import RemoteStreamMethod
from leveret.errors import InvalidArgument


def startable(given: object, verb: str) -> RemoteMethod:
    """The argument of `rabbit.<verb>`, if it is a method of a remote or a pipe.

    :raises InvalidArgument: for anything else.
    """
    if isinstance(given, RemoteMethod) and given.invocation.is_pipe:
        return given
    return remote_method_of(given, verb)


def remote_method_of(given: object, verb: str) -> RemoteMethod:
    """The argument of `rabbit.<verb>`, if it is a method of a remote.

    :raises InvalidArgument: for anything else; the message says what to give.
    """
    if isinstance(given, RemoteMethod) and given.takes_verbs:
        return given
    if isinstance(given, RemoteStreamMethod):
        raise InvalidArgument(
            f"{verb} is for methods that do not stream, and this one does; call it",
            method=given.key,
        )
    raise InvalidArgument(
        f"{verb} takes a method of a remote, as in"
        f" rabbit.{verb}(rabbit.remote(Service).method)(...); got {given!r:.80}"
    )
