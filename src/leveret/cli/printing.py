"""Prints results on standard output, and errors on standard error, each in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import msgspec

from leveret.cli.exits import UNEXPECTED
from leveret.errors import CallError, DeadlineExceeded, RemoteError
from leveret.snake_case import snake_case
from leveret.wire.error_texts import safe_str

__all__ = [
    "as_json_text",
    "describe",
    "one_line",
    "print_error",
    "print_error_text",
    "print_item",
    "print_json",
    "print_result",
    "writing_output",
]

_encode = msgspec.json.Encoder(enc_hook=repr).encode


def print_result(value: Any, *, as_json: bool) -> None:
    """Print a result: text and bytes as they are, anything else as JSON, containers indented.

    :param as_json: print exactly one line of JSON, whatever the value is.
    """
    if as_json:
        _write(_encode(value) + b"\n")
    elif isinstance(value, bytes):
        _write(value)
    elif isinstance(value, str):
        _write(value.encode() + b"\n")
    elif isinstance(value, dict | list):
        print_json(value)
    else:
        _write(_encode(value) + b"\n")


def print_item(value: Any) -> None:
    """Print an item of a stream as one line of JSON, at once.

    :raises BrokenPipeError: if nobody reads any more.
    """
    if not _write(_encode(value) + b"\n"):
        raise BrokenPipeError


def as_json_text(value: Any) -> str:
    """Indented JSON, with a line break at its end."""
    return msgspec.json.format(_encode(value), indent=2).decode() + "\n"


def print_json(value: Any) -> None:
    """Print indented JSON, in colours on a terminal."""
    text = as_json_text(value)
    if not sys.stdout.isatty():
        _write(text.encode())
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and scripts do not need it

    console = Console(soft_wrap=True)
    console.print_json(text, indent=2)


def describe(error: BaseException, *, of_call: bool = True) -> str:
    """Describe an error in one line: its class, its message, and whether the handler ran.

    :param of_call: whether a method was called, so that a handler may have run.
    """
    executed = ""
    if of_call and isinstance(error, CallError):
        executed = f" (executed: {error.executed})"
    return one_line(f"{type(error).__name__}: {safe_str(error)}{executed}")


def print_error(error: BaseException, *, as_json: bool = False, of_call: bool = True) -> None:
    """Print an error on standard error, in exactly one line; see `describe`."""
    if not as_json:
        print_error_text(describe(error, of_call=of_call))
        return
    _write_error(_encode({"error": _as_object(error)}).decode())


def print_error_text(text: str) -> None:
    """Print one line on standard error, after the name of the command."""
    _write_error(f"leveret: {text}")


def _as_object(error: BaseException) -> dict[str, Any]:
    """The error as `{"type", "code", "message", "executed"}`, and other fields that it has."""
    name = type(error).__name__
    shown: dict[str, Any] = {"type": name, "code": snake_case(name).upper(), "message": str(error)}
    if isinstance(error, CallError):
        shown |= {
            "code": str(error.code),
            "message": error.message,
            "executed": error.executed,
            "method": error.method,
        }
        if error.received:
            shown["received"] = error.received
        if error.call_id:
            shown["call_id"] = error.call_id
    else:
        shown["executed"] = "no"
    if isinstance(error, DeadlineExceeded):
        shown["where"] = error.where
    if isinstance(error, RemoteError):
        more = {
            "remote_type": error.type_name,
            "data": error.data,
            "traceback": error.remote_traceback,
        }
        shown |= {field: value for field, value in more.items() if value}
    return shown


def one_line(text: str) -> str:
    """Escape line breaks and control characters: the text may come from anywhere."""
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )


@contextmanager
def writing_output() -> Iterator[None]:
    """Write to standard output within the block, at once; the block ends if nobody reads it.

    So it is with `| head`: then the rest goes nowhere, and the command goes on: its exit code says
    how it ended, and not who has read of it. Where a file does not take it, as its disk is full,
    the command ends: its result is lost.

    :raises SystemExit: with `UNEXPECTED`, if it cannot be written.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        print_error_text(f"the output cannot be written, and is lost: {one_line(safe_str(error))}")
        raise SystemExit(UNEXPECTED) from None


def _write(data: bytes) -> bool:
    """Write to standard output; False if nobody reads it any more. See `writing_output`."""
    with writing_output():
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return True
    return False


def _write_error(line: str) -> None:
    """Write to standard error; where that is not possible, the exit code alone tells of it."""
    with suppress(OSError):
        sys.stdout.flush()  # what was printed before comes before
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


def _discard(file: TextIO) -> None:
    """Have what is written to a file, and what it still holds, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)
