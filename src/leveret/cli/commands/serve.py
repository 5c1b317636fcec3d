"""`leveret serve`: serves services, in this process or in workers of its own."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer

from leveret.cli.exits import CANNOT_LISTEN
from leveret.cli.logs import LogFormat, LogLevel, tell_end
from leveret.cli.options import (
    read_endpoint,
    read_pairs,
    read_users,
    refuse_embedded,
    refuse_empty,
    refuse_nan,
)
from leveret.cli.serving.monitoring import CannotListen, MonitorOptions
from leveret.cli.serving.process import ServerProcess
from leveret.cli.serving.request import Ending, ServeRequest
from leveret.cli.serving.supervisor import supervise
from leveret.cli.serving.systemd import SystemManager
from leveret.cli.settings import read_settings
from leveret.rabbit.options import MAX_MESSAGE_SIZE

__all__ = ["CODES", "serve"]

CODES: Final = (0, 2, 8, 9, 10, 11, 12, 13, 14, 70, 130)
"""The exit codes that it can have."""
_LONGEST_NAME: Final = 255
"""Bytes of AMQP's short strings."""
_CLIENTS: Final = {
    **dict.fromkeys(("redis", "rediss", "unix"), ("redis", "redis")),
    **dict.fromkeys(("postgres", "postgresql"), ("asyncpg", "postgres")),
}
"""The package that a store's URL needs, by its scheme, and the extra that brings it."""
_FOREVER: Final = 1e9
"""Seconds, 30 years: workers are told their options as JSON, which has no infinity."""


def serve(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE:SERVICE",
            envvar="LEVERET_SERVE_TARGETS",
            help="Classes, instances or factories (functions without arguments that return a"
            " service); the current directory can be imported from.",
        ),
    ],
    url: Annotated[
        str | None,
        typer.Option(
            envvar="LEVERET_URL",
            help="The broker. The services find it in LEVERET_URL: a connection that they open"
            " themselves goes there, too.",
            show_default="amqp://guest:guest@localhost/",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="How many processes; those that die are restarted, later each time."
        ),
    ] = 1,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_535,
            show_default=False,
            help="Calls of each method at a time in each process, instead of what it says itself.",
        ),
    ] = None,
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            max=4_294_967,
            callback=refuse_nan,
            help="Seconds that running calls get to end at SIGINT, SIGTERM or SIGHUP.",
        ),
    ] = 30.0,
    plain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="QUEUE=SERVICE.METHOD",
            help="Serve a method from this queue as well, with text bodies, as the RabbitMQ"
            " tutorial does. Repeatable.",
        ),
    ] = None,
    send_tracebacks: Annotated[
        bool, typer.Option("--send-tracebacks", help="Send callers the tracebacks of failures.")
    ] = False,
    max_message_size: Annotated[
        int, typer.Option(min=1, help="Bytes of the largest body to send or to accept.")
    ] = MAX_MESSAGE_SIZE,
    middleware: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Server middleware, `async def (call, call_next)`, around each handler; the first"
            " is the outermost. Repeatable.",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERVICE[.METHOD]=USER,...",
            help="Only these users of the broker, by name or pattern, may call this; * names"
            " everything else. Repeatable.",
        ),
    ] = None,
    operators: Annotated[
        str,
        typer.Option(
            metavar="USER,...",
            help="These users of the broker, by name or pattern, may see and cancel the calls of"
            " all, beside the server's own user.",
        ),
    ] = "",
    once: Annotated[
        str | None,
        typer.Option(
            envvar="LEVERET_ONCE",
            metavar="URL",
            show_default="in memory",
            help="Where replies to calls with an idempotency key are recorded: sqlite:///path"
            " (one machine), redis://... or postgresql://...",
        ),
    ] = None,
    wait_for_broker: Annotated[
        float,
        typer.Option(
            min=0,
            callback=refuse_nan,
            help="Seconds to go on trying at the start while no broker can be reached; inf for as"
            " long as it takes.",
        ),
    ] = 0.0,
    name: Annotated[
        str | None,
        typer.Option(show_default="host and process", help="The name of the connection."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST]:PORT",
            help="Metrics for Prometheus at http://HOST:PORT/metrics, of all workers; without a"
            " host, for this machine alone.",
        ),
    ] = None,
    health: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST]:PORT",
            help="/livez and /readyz there: whether it lives, and whether all workers serve. It may"
            " be the place of --metrics.",
        ),
    ] = None,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload",
            help="For development: when a Python file here or beside a service changes, start new"
            " workers, and drain the old ones once the new ones serve.",
        ),
    ] = False,
    log_level: Annotated[LogLevel, typer.Option(case_sensitive=False)] = LogLevel.INFO,
    log_format: Annotated[
        LogFormat,
        typer.Option(case_sensitive=False, help="Lines of text, or one JSON object per line."),
    ] = LogFormat.TEXT,
    access_log: Annotated[
        bool,
        typer.Option(
            "--access-log",
            help="Log each call when it is over: its id, who called what, how it ended, how long it"
            " took.",
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            is_eager=True,
            callback=read_settings,
            help="A TOML file with these options, by their names without dashes, and `targets`. The"
            " command line counts before it, and so do variables: LEVERET_SERVE_WORKERS=2 is"
            " --workers 2.",
        ),
    ] = None,
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; then let running calls end. A second signal hurries.

    Example: leveret serve fibonacci:Fibonacci --workers 2
    """
    refuse_empty("--url", "LEVERET_URL", url)
    refuse_empty("--once", "LEVERET_ONCE", once)
    refuse_embedded(url)
    if len(os.fsencode(name or "")) > _LONGEST_NAME:
        raise typer.BadParameter(f"--name is longer than the {_LONGEST_NAME} bytes of AMQP")
    if (workers > 1 or reload) and sys.platform == "win32":
        raise typer.BadParameter("Windows has no signals to stop workers with; start it more often")
    request = ServeRequest(
        targets=tuple(targets),
        url=url,
        name=name,
        concurrency=concurrency,
        grace=grace,
        plain=read_pairs(plain, "--plain"),
        send_tracebacks=send_tracebacks,
        max_message_size=max_message_size,
        middleware=tuple(middleware or ()),
        allow=read_users(allow, "--allow"),
        operators=tuple(filter(None, operators.split(","))),
        once=once,
        wait_for_broker=min(wait_for_broker, _FOREVER),
        access_log=access_log,
        log_level=log_level,
        log_format=log_format,
    )
    monitor = MonitorOptions(
        metrics=read_endpoint(metrics, "--metrics"), health=read_endpoint(health, "--health")
    )
    if metrics is not None:
        _need("--metrics", "prometheus_client", "metrics")
    if once is not None and (needed := _CLIENTS.get(once.partition("://")[0].lower())):
        _need("--once", *needed)
    ending = _run(request, workers, monitor, reload=reload)
    if ending.error:
        tell_end(ending.error, log_format)
    raise typer.Exit(ending.code)


def _need(option: str, package: str, extra: str) -> None:
    """:raises typer.BadParameter: if an option needs what is not installed."""
    if not find_spec(package):
        raise typer.BadParameter(f"{option} needs {package}: pip install 'leveret[{extra}]'")


def _run(request: ServeRequest, workers: int, monitor: MonitorOptions, *, reload: bool) -> Ending:
    if not reload and workers == 1:
        request.configure_logging()
        return ServerProcess(request, monitor=monitor, manager=SystemManager()).run()
    request.configure_logging("supervisor")
    try:
        if reload:
            return Ending(code=_serve_reloading(request, workers, monitor, SystemManager()))
        return Ending(code=supervise(request, workers, monitor, SystemManager()))
    except CannotListen as error:
        return Ending(code=CANNOT_LISTEN, error=str(error))


def _serve_reloading(
    request: ServeRequest, workers: int, monitor: MonitorOptions, manager: SystemManager
) -> int:
    from leveret.cli.serving.reloading import (  # noqa: PLC0415 - only here is watchfiles needed
        serve_reloading,
    )

    return serve_reloading(request, workers, monitor, manager)
