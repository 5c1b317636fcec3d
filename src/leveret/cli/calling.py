"""`leveret call`: one remote call from its arguments to its exit code."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Literal

import msgspec

import leveret
from leveret.cli.exits import DONE, INTERRUPTED, UNEXPECTED, exit_code
from leveret.cli.printing import print_error, print_result
from leveret.errors import Cancelled, LeveretError, RemoteError

__all__ = ["CallRequest", "make_call"]

log = logging.getLogger("leveret.cli")


class CallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A call to make: where, what, and with which of `Service.with_options`'s options."""

    url: str | None
    method: str
    """"service.method"."""
    arguments: dict[str, Any]
    timeout: float | None
    """Seconds."""
    metadata: dict[str, str] | None
    priority: int | None
    if_busy: Literal["wait", "fail"]
    wait_for_server: bool
    content_type: str | None


def make_call(request: CallRequest, *, as_json: bool) -> int:
    """Make a call, print its result or its error, and return the exit code."""
    try:
        # Not on uvloop: loading it takes longer than it saves in one call.
        result = asyncio.run(_call(request))
    except LeveretError as error:
        log.debug("the call failed", exc_info=True)
        if isinstance(error, RemoteError) and error.remote_traceback:
            for line in error.remote_traceback.splitlines():
                log.debug("in the handler: %s", line)
        print_error(error, as_json=as_json)
        return exit_code(error)
    except KeyboardInterrupt:
        stopped = Cancelled("interrupted, and cancelled at its server", method=request.method)
        print_error(stopped, as_json=as_json)
        return INTERRUPTED
    except Exception as error:
        log.debug("unexpected", exc_info=True)
        print_error(error, as_json=as_json)
        return UNEXPECTED
    print_result(result, as_json=as_json)
    return DONE


async def _call(request: CallRequest) -> Any:
    async with leveret.connect(request.url) as rabbit:
        remote = rabbit.with_options(
            timeout=request.timeout,
            metadata=request.metadata,
            priority=request.priority,
            if_busy=request.if_busy,
            wait_for_server=request.wait_for_server,
            content_type=request.content_type,
        )
        return await remote.call(request.method, **request.arguments)
