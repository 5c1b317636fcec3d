"""Reads the arguments of a remote call, and options of the form `name=text`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["BadArgument", "arguments_of", "names_of", "pairs_of", "users_of"]


class BadArgument(ValueError):
    """An argument has another form than the command line expects."""


def arguments_of(words: Iterable[str], whole: str | None) -> dict[str, Any]:
    """The arguments of a call, from `name=value` words and from `--arguments`.

    A value is JSON where it reads as JSON, else text: `n=30` is a number, `name=Ann` and
    `zip='"01234"'` are texts.

    :param whole: a JSON object with further arguments, "-" to read it from standard input, "@name"
        from a file.
    :raises BadArgument: if a word has another form, a name comes twice, or `whole` is no object.
    """
    arguments = {} if whole is None else _object(_text(whole))
    for name, text in pairs_of(words):
        if name in arguments:
            raise BadArgument(f"the argument {name!r} is given twice")
        arguments[name] = _value(text)
    return arguments


def pairs_of(words: Iterable[str]) -> list[tuple[str, str]]:
    """Split words of the form `name=text`; the text may contain "=".

    :raises BadArgument: if a word has another form.
    """
    pairs = []
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals):
            raise BadArgument(f"{word!r} is not in the form name=value")
        pairs.append((name, text))
    return pairs


def _text(whole: str) -> str | bytes:
    if whole == "-":
        return sys.stdin.buffer.read()  # JSON is UTF-8, whatever the locale says of text
    if not whole.startswith("@"):
        return whole
    try:
        return Path(whole[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise BadArgument(f"{whole[1:]!r} cannot be read: {error}") from None


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return text


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadArgument(f"--arguments takes one JSON object: {error}") from None


def users_of(text: str) -> dict[str, str]:
    """Read `name:password,name:password` as passwords by name; a password may contain ":".

    :raises BadArgument: if the text has another form, or a name comes twice.
    """
    users: dict[str, str] = {}
    for word in text.split(","):
        name, colon, password = word.partition(":")
        if not (name and colon):
            # Without the word: it may be part of a password that contains a comma.
            raise BadArgument("users have the form name:password,name:password")
        if name in users:
            raise BadArgument(f"the user {name!r} is given twice")
        users[name] = password
    return users


def names_of(text: str) -> tuple[str, ...]:
    """Read `a,b` as names.

    :raises BadArgument: if a name is empty or comes twice.
    """
    names = tuple(text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise BadArgument(f"{text!r} is not in the form name,name")
    return names
