"""The arguments of a remote call as they are written on the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import msgspec

__all__ = ["BadArgument", "arguments_of", "pairs_of"]


class BadArgument(ValueError):
    """An argument that is not in the form the command line takes."""


def arguments_of(words: Iterable[str], whole: str | None) -> dict[str, Any]:
    """The arguments of a call, from `name=value` words and from `--arguments`.

    A value is JSON where it reads as JSON, else text: `n=30` is a number, `name=Ann` and
    `zip='"01234"'` are texts.

    :param whole: a JSON object with further arguments, "-" to read it from standard input.
    :raises BadArgument: for a word of another form, a name that comes twice, or no JSON object.
    """
    arguments = {} if whole is None else _object(sys.stdin.read() if whole == "-" else whole)
    for name, text in pairs_of(words):
        if name in arguments:
            raise BadArgument(f"the argument {name!r} is given twice")
        arguments[name] = _value(text)
    return arguments


def pairs_of(words: Iterable[str]) -> list[tuple[str, str]]:
    """`name=text` words as pairs; the text may hold further "="."""
    pairs = []
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals):
            raise BadArgument(f"{word!r} is not in the form name=value")
        pairs.append((name, text))
    return pairs


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return text


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadArgument(f"--arguments takes one JSON object: {error}") from None
