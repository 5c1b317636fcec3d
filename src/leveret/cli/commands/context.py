"""`leveret context`: brokers by name, so that nobody types URLs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from leveret.cli.command_line import CommandLine
from leveret.cli.contexts import ContextError, Contexts, contexts_file, is_name, read_contexts
from leveret.cli.contracts import one_line_errors
from leveret.cli.printing import print_error_text, print_result
from leveret.cli.tables import table
from leveret.errors import InvalidURL
from leveret.transport.url import parse_url

__all__ = ["CODES", "app"]

CODES: Final = (0, 2, 70)
"""The exit codes that its commands can have."""

app = CommandLine()

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the context.")]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


@app.command("ls")
def list_(json: Json = False) -> None:
    """List the contexts, without their passwords; * is before the one in use.

    Example: leveret context ls
    """
    _, contexts = _read()
    shown = {name: _shown(url) for name, url in sorted(contexts.urls.items())}
    if json:
        print_result({"current": contexts.current or None, "contexts": shown}, as_json=True)
        return
    rows = [("*" if name == contexts.current else "", name, url) for name, url in shown.items()]
    if rows:
        print_result("\n".join(table(("", "NAME", "URL"), rows)), as_json=False)
    else:
        print_error_text("there are no contexts; `leveret context add NAME URL` makes one")


@app.command()
def add(
    name: Name,
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help='The broker, or "-" to read it from stdin: then it is in no history of a shell.',
        ),
    ],
    use_it: Annotated[bool, typer.Option("--use", help="Use it from now on.")] = False,
) -> None:
    """Give a broker a name, or a name another broker.

    Example: leveret context add staging amqp://ann:secret@rabbit.example/ --use
    """
    if not is_name(name):
        raise typer.BadParameter("a context is named by letters, digits, '.', '_' and '-'")
    given = (sys.stdin.read() if url == "-" else url).strip()
    with one_line_errors():
        if not given.isprintable():
            raise InvalidURL("a URL has no control characters")
        parse_url(given)
    file, contexts = _read()
    contexts.urls[name] = given
    if use_it:
        contexts.current = name
    _write(contexts, file)


@app.command()
def use(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The context.", show_default=False)
    ] = None,
    none: Annotated[
        bool, typer.Option("--none", help="Use none: the default is the broker of localhost.")
    ] = False,
) -> None:
    """Use a context from now on, where neither --url, --context nor LEVERET_URL say otherwise.

    Example: leveret context use staging
    """
    if (name is None) is not none:
        raise typer.BadParameter("give the NAME of a context, or --none")
    file, contexts = _read()
    contexts.current = _known(contexts, name) if name is not None else ""
    _write(contexts, file)


@app.command()
def rm(name: Name) -> None:
    """Forget a context.

    Example: leveret context rm staging
    """
    file, contexts = _read()
    del contexts.urls[_known(contexts, name)]
    if contexts.current == name:
        contexts.current = ""
    _write(contexts, file)


def _read() -> tuple[Path, Contexts]:
    file = contexts_file()
    try:
        return file, read_contexts(file)
    except ContextError as error:
        raise typer.BadParameter(str(error), param_hint="contexts") from None


def _write(contexts: Contexts, file: Path) -> None:
    try:
        contexts.write(file)
    except ContextError as error:
        raise typer.BadParameter(str(error), param_hint="contexts") from None


def _known(contexts: Contexts, name: str) -> str:
    if name not in contexts.urls:
        there = ", ".join(sorted(contexts.urls)) or "none"
        raise typer.BadParameter(f"there is no context {name!r}; there are {there}")
    return name


def _shown(url: str) -> str:
    try:
        return str(parse_url(url))
    except InvalidURL:
        return "(not a URL)"
