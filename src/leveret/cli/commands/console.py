"""`leveret console`: shows in a browser what runs, what is slow and what fails."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from leveret.cli.exits import CANNOT_LISTEN, USAGE
from leveret.cli.logs import LogLevel, configure_logging
from leveret.cli.options import Url, refuse_embedded, refuse_empty
from leveret.cli.printing import print_error, print_error_text, print_result
from leveret.errors import InvalidURL

__all__ = ["CODES", "console"]

CODES: Final = (0, 2, 14, 130)
"""The exit codes that it can have."""


def console(
    url: Url = None,
    host: Annotated[str, typer.Option(help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8420,
    allow_calls: Annotated[
        bool,
        typer.Option(
            "--allow-calls",
            help="Let people call methods, cancel calls, have servers drain, and retry or drop"
            " failed requests.",
        ),
    ] = False,
    token: Annotated[
        str,
        typer.Option(
            envvar="LEVERET_CONSOLE_TOKEN",
            show_default="none",
            help="What people must know. Better given by the environment: others can read"
            " arguments of processes.",
        ),
    ] = "",
    user_header: Annotated[
        str,
        typer.Option(
            metavar="NAME", show_default="none", help="The header in which a proxy says who it is."
        ),
    ] = "",
    root_path: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            show_default="none",
            help="Where a proxy has it, which takes this off the path.",
        ),
    ] = "",
    show_arguments: Annotated[
        bool, typer.Option("--show-arguments", help="Show the arguments of failed requests.")
    ] = False,
    trace_link: Annotated[
        str,
        typer.Option(
            metavar="URL",
            show_default="none",
            help="Where traces are shown, with {trace_id} in it: errors and calls lead there.",
        ),
    ] = "",
    log_level: Annotated[
        LogLevel, typer.Option(case_sensitive=False, help="What to tell on stderr.")
    ] = LogLevel.WARNING,
) -> None:
    """Show in a browser what runs, what is slow and what fails.

    It only looks, unless --allow-calls is given. Without --token and --user-header it listens on
    this machine alone.

    Examples: leveret console;
    leveret console --trace-link 'https://jaeger.example/trace/{trace_id}'
    """
    refuse_empty("--url", "LEVERET_URL", url)
    refuse_embedded(url)
    try:
        from leveret.console.serving import CannotListen, is_loopback, serve  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print_error_text(str(error))
        raise typer.Exit(USAGE) from None
    if not (token or user_header or is_loopback(host)):
        raise typer.BadParameter(
            f"whoever reaches {host} would see all: give --token or --user-header as well",
            param_hint="--host",
        )
    configure_logging(log_level)
    try:
        serve(
            url,
            host=host,
            port=port,
            allow_calls=allow_calls,
            token=token,
            user_header=user_header,
            root_path=root_path,
            show_arguments=show_arguments,
            trace_link=trace_link,
            on_listening=lambda where: print_result(f"the console is at {where}", as_json=False),
        )
    except InvalidURL as error:
        print_error(error, as_json=False)
        raise typer.Exit(USAGE) from None
    except CannotListen as error:
        print_error_text(str(error))
        raise typer.Exit(CANNOT_LISTEN) from None
