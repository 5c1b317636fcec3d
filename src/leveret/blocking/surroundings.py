"""Where a blocking call cannot work: inside of an event loop, under gevent and under eventlet."""

from __future__ import annotations

import asyncio
import sys

__all__ = ["check_surroundings"]


def check_surroundings() -> None:
    """Tell whoever would block an event loop, or wait for ever, what to do instead.

    A notebook has a loop that runs in the thread of its cells. There a blocking call is what the
    user of a notebook wants, and blocks nobody else.

    :raises RuntimeError: where a blocking call cannot work.
    """
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        raise RuntimeError(
            "leveret.blocking needs threads of the operating system, and gevent.monkey has put"
            " greenlets in their place: the call would wait for ever. Run this in a worker without"
            " gevent (gunicorn: --worker-class gthread), or patch all but threads:"
            " monkey.patch_all(thread=False)"
        )
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        raise RuntimeError(
            "leveret.blocking needs threads of the operating system, and eventlet.monkey_patch()"
            " has put green threads in their place: the call would block them all. Run this in a"
            " process without eventlet, or patch all but threads: monkey_patch(thread=False)"
        )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if not _in_a_notebook():
        raise RuntimeError(
            "an event loop runs in this thread, and a blocking call would stop it: use"
            " leveret.connect(), and `await` the call"
        )


def _in_a_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None
