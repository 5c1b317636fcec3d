"""The commands and their options; what they do is in the modules beside this one."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Final

import typer

from leveret import __version__
from leveret.cli.arguments import BadArgument, arguments_of, names_of, pairs_of, users_of
from leveret.cli.brokering import BrokerOptions, run_broker
from leveret.cli.calling import CallRequest, make_call
from leveret.cli.exits import DONE, USAGE, codes_help, exit_code
from leveret.cli.logs import LogLevel, configure_logging
from leveret.cli.printing import print_error, print_error_text, print_json
from leveret.cli.reloading import serve_reloading
from leveret.cli.serving import ServeOptions, Serving
from leveret.cli.supervisor import supervise
from leveret.cli.targets import find_service
from leveret.client.named import named_spec
from leveret.contract import service_schema
from leveret.errors import InvalidArgument, InvalidURL, LeveretError

__all__ = ["app"]

app = typer.Typer(
    name="leveret",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_CALL_CODES: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 70, 130)
_BROKER_CODES: Final = (0, 2, 14)
_DEMO_CODES: Final = (0, 1, 2, 130)
_SCHEMA_CODES: Final = (0, 2, 11)
_SERVE_CODES: Final = (0, 2, 8, 9, 10, 11, 12, 13, 70, 130)


class IfBusy(StrEnum):
    """What a call does while no server is free."""

    WAIT = "wait"
    FAIL = "fail"


Url = Annotated[
    str | None,
    typer.Option(
        envvar="LEVERET_URL",
        help="The broker.",
        show_default="amqp://guest:guest@localhost/",
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"leveret {__version__}")
        raise typer.Exit(DONE)


@app.callback()
def leveret(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Typed RPC over RabbitMQ: serve methods, and call them."""


@app.command(epilog=codes_help(_SERVE_CODES))
def serve(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE:SERVICE",
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
        typer.Option(min=0, help="Seconds that running calls get to end at SIGINT or SIGTERM."),
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
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERVICE[.METHOD]=USER,...",
            help="Only these users of the broker, by name or pattern, may call this; * names"
            " everything else. Repeatable.",
        ),
    ] = None,
    once: Annotated[
        str | None,
        typer.Option(
            envvar="LEVERET_ONCE",
            metavar="URL",
            show_default="in memory",
            help="Where replies to calls with an idempotency key are recorded: redis://... or"
            " postgresql://...",
        ),
    ] = None,
    wait_for_broker: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds to go on trying at the start while no broker can be reached."
        ),
    ] = 0.0,
    name: Annotated[
        str | None,
        typer.Option(show_default="host and process", help="The name of the connection."),
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
) -> None:
    """Serve services until SIGINT or SIGTERM; then let running calls end. A second signal hurries.

    Example: leveret serve fibonacci:Fibonacci --workers 2
    """
    _refuse_embedded(url)
    if (workers > 1 or reload) and sys.platform == "win32":
        raise typer.BadParameter("Windows has no signals to stop workers with; start it more often")
    options = ServeOptions(
        targets=tuple(targets),
        url=url,
        name=name,
        concurrency=concurrency,
        grace=grace,
        plain=_pairs(plain, "--plain"),
        send_tracebacks=send_tracebacks,
        allow=_users_by_method(allow),
        once=once,
        wait_for_broker=wait_for_broker,
        log_level=log_level,
    )
    if workers > 1 or reload:
        configure_logging(log_level, "supervisor")
        run_workers = serve_reloading if reload else supervise
        raise typer.Exit(run_workers(options, workers))
    configure_logging(log_level)
    ending = Serving(options).run()
    if ending.error:
        print_error_text(ending.error)
    raise typer.Exit(ending.code)


@app.command(epilog=codes_help(_CALL_CODES))
def call(
    method: Annotated[str, typer.Argument(metavar="SERVICE.METHOD", help="What to call.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=VALUE",
            help="Its arguments. A value is JSON where it reads as JSON, else text:"
            """ n=30, name=Ann, tags='["a", "b"]', zip='"01234"'.""",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
    arguments: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            show_default=False,
            help='Arguments as one JSON object, \'{"n": 30}\', or "-" to read it from stdin.',
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=4_294_967,
            show_default="10",
            help="Seconds the call may take.",
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print one line of JSON: the result, or on stderr the error."),
    ] = False,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TEXT", help="Sent along with the call. Repeatable."),
    ] = None,
    priority: Annotated[
        int | None, typer.Option(min=0, max=255, show_default=False, help="Higher is served first.")
    ] = None,
    if_busy: Annotated[
        IfBusy, typer.Option(help="Whether to wait in the queue, or fail, when no server is free.")
    ] = IfBusy.WAIT,
    wait_for_server: Annotated[
        bool, typer.Option("--wait-for-server", help="Wait for a server to come up.")
    ] = False,
    content_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            show_default="application/json",
            help="How the bodies are encoded: also application/msgpack or text/plain.",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            case_sensitive=False,
            show_default="none",
            help="What else to tell on stderr; debug shows tracebacks.",
        ),
    ] = None,
) -> None:
    """Call a method and print its result: text as it is, anything else as JSON.

    An error is one line on stderr, and an exit code of its kind.

    Example: leveret call fibonacci.fib n=30
    """
    _refuse_embedded(url, as_json=json)
    configure_logging(log_level or LogLevel.CRITICAL)
    try:
        given = arguments_of(words or (), arguments)
    except BadArgument as error:
        raise typer.BadParameter(str(error)) from None
    _check_method(method)
    request = CallRequest(
        url=url,
        method=method,
        arguments=given,
        timeout=timeout,
        metadata=_pairs(metadata, "--metadata") or None,
        priority=priority,
        if_busy=if_busy.value,
        wait_for_server=wait_for_server,
        content_type=content_type,
    )
    raise typer.Exit(make_call(request, as_json=json))


@app.command(epilog=codes_help(_BROKER_CODES))
def broker(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="0 for any free one; the URL tells which.")
    ] = 5672,
    users: Annotated[
        str, typer.Option(metavar="NAME:PASSWORD,...", help="Who may log in, with all rights.")
    ] = "guest:guest",
    vhosts: Annotated[str, typer.Option(metavar="NAME,...")] = "/",
    log_level: Annotated[LogLevel, typer.Option(case_sensitive=False)] = LogLevel.INFO,
) -> None:
    """Run an AMQP broker for development and tests, in memory, until SIGINT or SIGTERM.

    Prints its URL, of the first vhost and user. Production is RabbitMQ.
    """
    try:
        options = BrokerOptions(
            host=host, port=port, users=users_of(users), vhosts=names_of(vhosts)
        )
    except BadArgument as error:
        raise typer.BadParameter(str(error)) from None
    configure_logging(log_level)
    raise typer.Exit(run_broker(options))


@app.command(epilog=codes_help(_DEMO_CODES))
def demo(
    url: Annotated[
        str | None,
        typer.Option(
            envvar="LEVERET_URL", help="The broker.", show_default="an embedded one, in memory"
        ),
    ] = None,
) -> None:
    """Show what Leveret does, and how calls fail, in a few seconds.

    On another broker than its own, it deletes the queues that it made.
    """
    from leveret.demo import run_demo  # noqa: PLC0415 - its services are of no use to other commands

    raise typer.Exit(run_demo(url))


@app.command(epilog=codes_help(_SCHEMA_CODES))
def schema(
    target: Annotated[
        str, typer.Argument(metavar="MODULE:SERVICE", help="A service class or an instance.")
    ],
) -> None:
    """Print a service's methods, with their JSON Schemas, as JSON. Needs no broker."""
    try:
        described = service_schema(find_service(target))
    except LeveretError as error:
        print_error(error)
        raise typer.Exit(exit_code(error)) from None
    print_json(described)


@app.command("version")
def version_command() -> None:
    """Print the version."""
    _print_version(True)


def _pairs(words: list[str] | None, option: str) -> dict[str, str]:
    """`name=text` options as a dict."""
    try:
        pairs = pairs_of(words or ())
    except BadArgument as error:
        raise typer.BadParameter(f"{option}: {error}") from None
    if len(dict(pairs)) < len(pairs):
        raise typer.BadParameter(f"{option}: a name is given twice")
    return dict(pairs)


def _users_by_method(words: list[str] | None) -> dict[str, tuple[str, ...]]:
    """`what=user,user` options as a dict."""
    try:
        return {what: names_of(users) for what, users in _pairs(words, "--allow").items()}
    except BadArgument as error:
        raise typer.BadParameter(f"--allow: {error}") from None


def _refuse_embedded(url: str | None, *, as_json: bool = False) -> None:
    """A broker inside of a command's process has no second party."""
    if url is not None and url.strip().lower().startswith("embedded:"):
        print_error(
            InvalidURL(
                "a broker of embedded:// is in this process alone, where nobody else can reach it;"
                " start one for all with `leveret broker`, which prints its URL"
            ),
            as_json=as_json,
        )
        raise typer.Exit(USAGE)


def _check_method(method: str) -> None:
    try:
        named_spec(method)
    except InvalidArgument as error:
        raise typer.BadParameter(str(error)) from None
