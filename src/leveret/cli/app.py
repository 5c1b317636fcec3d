"""The command `leveret`: its commands, each in a file of `commands/`."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.cli.command_line import CommandLine
from leveret.cli.commands import (
    asyncapi,
    broker,
    call,
    calls,
    completion,
    console,
    context,
    demo,
    describe,
    diff,
    docs,
    failed,
    ls,
    ping,
    queues,
    schema,
    serve,
    stats,
    top,
)
from leveret.cli.commands.map import CODES as MAP_CODES
from leveret.cli.commands.map import draw
from leveret.cli.commands.version import print_version, version
from leveret.cli.exits import codes_help

__all__ = ["app"]

app = CommandLine(
    name="leveret",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def leveret(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Typed RPC over RabbitMQ: serve methods, and call them."""


app.command(
    epilog=codes_help(serve.CODES),
    context_settings={"auto_envvar_prefix": "LEVERET_SERVE"},
)(serve.serve)
app.command(epilog=codes_help(call.CODES))(call.call)
app.command("ls", epilog=codes_help(ls.CODES))(ls.list_services)
app.command(epilog=codes_help(ping.CODES))(ping.ping)
app.command(epilog=codes_help(stats.CODES))(stats.stats)
app.command(epilog=codes_help(top.CODES))(top.top)
app.command(epilog=codes_help(calls.CODES))(calls.calls)
app.command(epilog=codes_help(calls.CODES))(calls.cancel)
app.command(epilog=codes_help(queues.CODES))(queues.queues)
app.command("map", epilog=codes_help(MAP_CODES))(draw)
app.command(epilog=codes_help(broker.CODES))(broker.broker)
app.command(epilog=codes_help(demo.CODES))(demo.demo)
app.command(epilog=codes_help(schema.CODES))(schema.schema)
app.command(epilog=codes_help(describe.CODES))(describe.describe)
app.command(epilog=codes_help(docs.CODES))(docs.docs)
app.command(epilog=codes_help(asyncapi.CODES))(asyncapi.asyncapi)
app.command(epilog=codes_help(diff.CODES))(diff.diff)
app.command(epilog=codes_help(console.CODES))(console.console)
app.add_typer(failed.app, name="failed", help="One-way requests that failed: look, retry, drop.")
app.add_typer(context.app, name="context", help="Brokers by name, instead of their URLs.")
app.command(epilog=codes_help(completion.CODES))(completion.completion)
app.command(hidden=True)(completion.complete_with(lambda: typer.main.get_command(app)))
app.command()(version)
