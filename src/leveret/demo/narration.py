"""Prints the demo's story, and checks that everything happens as it is told."""

from __future__ import annotations

import textwrap
from collections.abc import Awaitable, Callable
from typing import Final

from leveret import CallError
from leveret.errors import Executed

WIDTH: Final = 96
_ATTEMPTS: Final = 5


class SurpriseError(Exception):
    """Something happened otherwise than the demo tells."""


def section(title: str) -> None:
    """Print the title of a part."""
    print(f"\n{title}\n{'-' * len(title)}", flush=True)


def tell(text: str, indent: int = 2) -> None:
    """Print a paragraph."""
    margin = " " * indent
    print(textwrap.fill(text, WIDTH, initial_indent=margin, subsequent_indent=margin), flush=True)


def show(code: str, value: object) -> None:
    """Print a line of code and its result."""
    print(f"  {code:<58} -> {value}", flush=True)


def expect(holds: object, what: str) -> None:
    """Check what the demo tells.

    :raises SurpriseError: unless `holds`.
    """
    if not holds:
        raise SurpriseError(what)


async def fails(
    story: str,
    code: str,
    call: Callable[[], Awaitable[object]],
    kind: type[CallError],
    executed: Executed,
) -> CallError:
    """Make a call that fails, and print the caller's error.

    :raises SurpriseError: if it fails with another error, or succeeds.
    """
    tell(story)
    print(f"      await {code}")
    error = await _error_of(call, executed)
    if error is None:
        raise SurpriseError(f"this should fail with {kind.__name__}, and succeeded")
    tell(f"{type(error).__name__}: {error}", indent=6)
    print(f"      executed: {error.executed}\n", flush=True)
    expect(
        type(error) is kind and error.executed == executed,
        f"this should be {kind.__name__}, executed: {executed}",
    )
    return error


async def _error_of(call: Callable[[], Awaitable[object]], executed: Executed) -> CallError | None:
    """The error of a call.

    It calls again where nobody can know what is told: then the machine has stalled for a moment.
    """
    found: CallError | None = None
    for _ in range(_ATTEMPTS):
        try:
            await call()
        except CallError as error:
            found = error
            if error.executed == executed or error.executed != "maybe":
                break
        else:
            return None
    return found
