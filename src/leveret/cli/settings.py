"""Options of a command from a file and from the environment: what a deployment writes down once.

What the command line says counts first, then the environment, then the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import typer

from leveret.cli.options import refuse_empty_variable

__all__ = ["read_settings"]

_NOT_IN_A_FILE: Final = frozenset({"config", "help"})


class _Option(Protocol):
    """A parameter of click, whose own copy Typer has or has not, by its version."""

    @property
    def name(self) -> str | None: ...
    @property
    def nargs(self) -> int: ...


def read_settings(context: typer.Context, file: Path | None) -> Path | None:
    """Make what a file says the defaults of the command's options; refuse variables left empty.

    To be the callback of an eager option that names the file. A key is the name of an option
    without its dashes, or `targets`; a value is what the command line would have, in a list where
    an option can be repeated.

    :raises typer.BadParameter: if the file cannot be read, or has what no option is.
    """
    options = {str(it.name): it for it in context.command.params if it.name not in _NOT_IN_A_FILE}
    prefix = context.auto_envvar_prefix
    for name in (*options, "config"):
        refuse_empty_variable(f"{prefix}_{name}".upper())
    if file is not None:
        context.default_map = _read(file, options)
    return file


def _read(file: Path, options: Mapping[str, _Option]) -> dict[str, Any]:
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8-sig"))  # some editors begin with a BOM
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{file} cannot be read: {error}") from None
    found: dict[str, Any] = {}
    for key, value in given.items():
        option = options.get(key.replace("-", "_"))
        if option is None:
            names = ", ".join(name.replace("_", "-") for name in options)
            raise typer.BadParameter(f"{file}: there is no option {key!r}; there are {names}")
        found[str(option.name)] = _value(f"{file}: {key}", value, several=_takes_several(option))
    return found


def _takes_several(option: _Option) -> bool:
    return option.nargs == -1 or bool(getattr(option, "multiple", False))


def _value(where: str, value: object, *, several: bool) -> str | list[str]:
    """A value as the command line would have it, for its option to judge."""
    if not several:
        return _word(where, value)
    return [_word(where, one) for one in (value if isinstance(value, list) else [value])]


def _word(where: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise typer.BadParameter(f"{where} is neither a text, a number nor a truth value")
