"""Records between a supervisor and its workers: what is to be served, and how a worker ended."""

from __future__ import annotations

import msgspec

from leveret.cli.logs import LogFormat, LogLevel, configure_logging
from leveret.observe import Snapshot
from leveret.rabbit.options import MAX_MESSAGE_SIZE
from leveret.server.options import GivenServeOptions

__all__ = ["Ending", "Report", "ServeRequest"]


class ServeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve, and how: the options of `leveret serve` but for `--workers` and `--reload`."""

    targets: tuple[str, ...]
    """What to serve, each as "module:Service"."""
    url: str | None = None
    """The broker; None for the default."""
    name: str | None = None
    """The name of the connection; None for host and process."""
    concurrency: int | None = None
    """Calls of each method at a time; None for what each method says."""
    grace: float = 30.0
    """Seconds that running calls get to end in a drain."""
    plain: dict[str, str] = {}
    """Queue names to "service.method": methods that are served to tutorial clients as well."""
    send_tracebacks: bool = False
    """Whether callers get the tracebacks of undeclared exceptions."""
    max_message_size: int = MAX_MESSAGE_SIZE
    """Bytes of the largest body to send or to accept."""
    middleware: tuple[str, ...] = ()
    """What runs around each handler, each as "module:function"; the first is the outermost."""
    allow: dict[str, tuple[str, ...]] = {}
    """Who may call what: "service.method", "service" or "*" to users. Empty: everybody."""
    operators: tuple[str, ...] = ()
    """Users who may see and cancel the calls of all, beside the server's own."""
    once: str | None = None
    """The URL of the store of idempotency keys; None for memory."""
    wait_for_broker: float = 0.0
    """Seconds to go on trying at the start while no broker can be reached."""
    access_log: bool = False
    """Whether each call that ended is a line of the log."""
    log_level: LogLevel = LogLevel.INFO
    """What is logged."""
    log_format: LogFormat = LogFormat.TEXT
    """How it is written."""

    @property
    def serve_options(self) -> GivenServeOptions:
        """The options for `rabbit.serving`, without the middleware, which has to be loaded."""
        return {
            "plain": self.plain,
            "grace": self.grace,
            "concurrency": self.concurrency,
            "send_tracebacks": self.send_tracebacks,
            "allow": self.allow or None,
            "operators": self.operators,
            "once": self.once,
            "access_log": self.access_log,
        }

    def configure_logging(self, process: str = "") -> None:
        """Begin the log of a process that serves this; see `logs.configure_logging`."""
        configure_logging(
            self.log_level, process, log_format=self.log_format, access_log=self.access_log
        )


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """How a server process stands, when it is asked."""

    unready: str = ""
    """Why it takes no new calls; empty if it does."""
    snapshot: Snapshot
    """What it has counted."""


class Ending(msgspec.Struct, frozen=True, kw_only=True, tag="ending"):
    """How a server process ended."""

    code: int
    """The exit code."""
    error: str = ""
    """The error in one line; empty after a stop that was asked for."""
    permanent: bool = False
    """Whether it failed to start, for a reason that another start would meet again."""
