"""What may come next on a command line."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import pytest
import typer

from leveret.cli.app import app as leveret_app
from leveret.cli.completing import Live, Next, next_words
from leveret.cli.options import Url


class Colour(StrEnum):
    RED = "red"
    ROSE = "rose"


app = typer.Typer(add_completion=False)
inner = typer.Typer()


@app.command()
def paint(
    target: Annotated[str, typer.Argument(metavar="SERVICE[.METHOD]")],
    other: Annotated[str, typer.Argument(metavar="SERVICE")],
    url: Url = None,
    colour: Annotated[Colour, typer.Option("--colour")] = Colour.RED,
    quick: Annotated[bool, typer.Option("--quick/--slow")] = False,
    secret: Annotated[bool, typer.Option("--secret", hidden=True)] = False,
) -> None: ...


@app.command(hidden=True)
def hide() -> None: ...


@inner.command("ls")
def list_() -> None: ...


app.add_typer(inner, name="inner")


def after(*words: str) -> Next:
    return next_words(typer.main.get_command(app), words)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), ["inner", "paint"]),
        (("",), ["inner", "paint"]),
        (("p",), ["paint"]),
        (("hid",), []),
        (("inner", ""), ["ls"]),
        (("inner", "ls", ""), []),
        (("paint", "--"), ["--colour", "--context", "--help", "--quick", "--slow", "--url"]),
        (("paint", "--colour", ""), ["red", "rose"]),
        (("paint", "--colour", "ro"), ["rose"]),
        (("paint", "--colour=r"), ["--colour=red", "--colour=rose"]),
        (("paint", "--sec"), []),
        (("paint", "--", "--"), []),
    ],
)
def test_words_are_commands_options_and_choices(words: tuple[str, ...], found: list[str]) -> None:
    assert after(*words).words == found


@pytest.mark.parametrize(
    ("words", "live"),
    [
        (("paint", ""), Live.METHODS),
        (("paint", "--quick", ""), Live.METHODS),
        (("paint", "--colour", "red", ""), Live.METHODS),
        (("paint", "shop.order", ""), Live.SERVICES),
        (("paint", "shop.order", "shop", ""), Live.SERVICES),
        (("paint", "--url", ""), Live.CONTEXTS),
        (("paint", "--colour", ""), None),
        (("paint", "--nothing", ""), Live.METHODS),
    ],
)
def test_names_are_asked_for_by_what_an_argument_is(
    words: tuple[str, ...], live: Live | None
) -> None:
    assert after(*words).live is live


def test_the_broker_is_the_one_that_the_words_name() -> None:
    assert after("paint", "--url", "amqp://a/", "").url == "amqp://a/"
    assert after("paint", "--context=dev", "").url == "dev"
    assert after("paint", "").url is None


def test_commands_of_leveret_complete_what_is_live() -> None:
    command = typer.main.get_command(leveret_app)
    for words, live in (
        (["call", ""], Live.METHODS),
        (["stats", ""], Live.METHODS),
        (["ls", ""], Live.SERVICES),
        (["ping", ""], Live.SERVICES),
        (["failed", "ls", ""], Live.METHODS),
        (["map", "--impact", ""], Live.SERVICES),
        (["ls", "--context", ""], Live.CONTEXTS),
        (["serve", ""], None),
    ):
        assert next_words(command, words).live is live, words
    assert "complete" not in next_words(command, ["comp"]).words
