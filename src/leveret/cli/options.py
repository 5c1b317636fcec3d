"""Options that several commands have, and how options of the form `name=text` are read."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated

import typer

from leveret.cli.arguments import BadArgument, names_of, pairs_of
from leveret.cli.contexts import ContextError, contexts_file, is_name, read_contexts
from leveret.cli.endpoints import Endpoint, endpoint_of
from leveret.cli.exits import USAGE
from leveret.cli.printing import print_error
from leveret.errors import InvalidURL

__all__ = [
    "Url",
    "broker_of",
    "read_endpoint",
    "read_pairs",
    "read_users",
    "refuse_embedded",
    "refuse_empty",
    "refuse_empty_variable",
    "refuse_nan",
]


def broker_of(given: str | None) -> str | None:
    """The URL of the broker that an option names, by a URL or by a context.

    :returns: None where nothing is said, and no context is in use.
    :raises typer.BadParameter: if there is no such context, or the file of contexts is unusable.
    """
    if given is None and "LEVERET_URL" in os.environ:
        return None  # it is empty, which the command refuses
    if given is not None and not is_name(given):
        return given
    try:
        contexts = read_contexts(contexts_file())
    except ContextError as error:
        raise typer.BadParameter(str(error), param_hint="contexts") from None
    name = contexts.current if given is None else given
    if given is None and not name:
        return None
    url = contexts.urls.get(name)
    if url is None:
        near = get_close_matches(name, contexts.urls, 1)
        meant = (
            f"did you mean {near[0]!r}?" if near else "`leveret context ls` shows those there are"
        )
        raise typer.BadParameter(f"{name!r} is no URL, and there is no such context; {meant}")
    return url


Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        "--context",
        envvar="LEVERET_URL",
        callback=broker_of,
        metavar="URL|NAME",
        help="The broker: its URL, or the name of a context (`leveret context`).",
        show_default="the context in use, else amqp://guest:guest@localhost/",
    ),
]


def read_pairs(words: Iterable[str] | None, option: str) -> dict[str, str]:
    """Read a repeatable option of the form `name=text`.

    :param option: its name, for the error.
    :raises typer.BadParameter: if a word has another form, or a name comes twice.
    """
    try:
        pairs = pairs_of(words or ())
    except BadArgument as error:
        raise typer.BadParameter(f"{option}: {error}") from None
    if len(dict(pairs)) < len(pairs):
        raise typer.BadParameter(f"{option}: a name is given twice")
    return dict(pairs)


def read_users(words: Iterable[str] | None, option: str) -> dict[str, tuple[str, ...]]:
    """Read a repeatable option of the form `what=user,user`; raises as `read_pairs`."""
    try:
        return {what: names_of(users) for what, users in read_pairs(words, option).items()}
    except BadArgument as error:
        raise typer.BadParameter(f"{option}: {error}") from None


def read_endpoint(word: str | None, option: str) -> Endpoint | None:
    """Read an option of the form `[HOST]:PORT`, None if it is not given; raises as `read_pairs`."""
    try:
        return None if word is None else endpoint_of(word)
    except BadArgument as error:
        raise typer.BadParameter(f"{option}: {error}") from None


def refuse_empty(option: str, variable: str, value: str | None) -> None:
    """Refuse an option that is given as an empty text, on the command line or by the environment.

    :raises typer.BadParameter: if it is empty.
    """
    if value is None:
        refuse_empty_variable(variable)
    elif not value.strip():
        raise typer.BadParameter(f"{option} is empty")


def refuse_empty_variable(variable: str) -> None:
    """Refuse a variable that is set to an empty text.

    What a deployment left empty by mistake must not mean the default. `click` takes an empty
    variable for one that is not set.

    :raises typer.BadParameter: if it is empty.
    """
    if os.environ.get(variable, "set").strip() == "":
        raise typer.BadParameter(
            f"{variable} is empty; set it, or unset it for the default",
            param_hint="the environment",
        )


def refuse_nan(seconds: float | None) -> float | None:
    """Refuse what is no number, as the callback of an option: no bound of `min=` and `max=` does.

    :raises typer.BadParameter: if it is none.
    """
    if seconds is not None and math.isnan(seconds):
        raise typer.BadParameter(f"{seconds} is no number of seconds")
    return seconds


def refuse_embedded(url: str | None, *, as_json: bool = False) -> None:
    """Exit with code 2 if the URL is `embedded://`: no other process reaches such a broker.

    :param as_json: how the error is printed.
    """
    if url is not None and url.strip().lower().startswith("embedded:"):
        print_error(
            InvalidURL(
                "a broker of embedded:// is in this process alone, where nobody else can reach it;"
                " start one for all with `leveret broker`, which prints its URL"
            ),
            as_json=as_json,
        )
        raise typer.Exit(USAGE)
