"""The console: what runs, what is slow, what fails and who calls whom, in a browser.

`leveret console` starts it; `leveret.console.app(rabbit)` is an ASGI app to mount. It needs the
extra `console`: `pip install 'leveret[console]'`.

    board, figures, rows, service_rows  pure: what is known, made of one poll after the other
    drawing, listing, fields, mapping   pure: how pages show it
    access                              pure: who may see, and who may write
    contracts, poller, recent, queues   ask servers and the broker
    system                              the connection, and all that is asked by it
    calling                             makes the calls of the method page
    guard, feed, bodies, rendering      ASGI and HTML
    pages, live_pages, failed_page      what there is to see
    writes, log_in                      what browsers have done
    application                         all of it together
"""

from __future__ import annotations

from typing import Final

__all__ = ["app"]

_EXTRA: Final = frozenset({"starlette", "anyio", "jinja2", "markupsafe", "uvicorn"})
"""The packages that the extra `console` installs."""

try:
    from leveret.console.application import app
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in _EXTRA:
        raise
    raise ModuleNotFoundError(
        f"the console needs {error.name}: pip install 'leveret[console]'", name=error.name
    ) from None
