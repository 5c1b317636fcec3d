"""Prints the demo's story, and checks that everything happens as it is told."""

from __future__ import annotations

import textwrap
from collections.abc import Awaitable

from leveret import CallError

WIDTH = 96


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
    story: str, code: str, call: Awaitable[object], kind: type[CallError], executed: str
) -> CallError:
    """Make a call that fails, and print the caller's error.

    :raises SurpriseError: if it fails with another error, or succeeds.
    """
    tell(story)
    print(f"      await {code}")
    try:
        result = await call
    except CallError as error:
        tell(f"{type(error).__name__}: {error}", indent=6)
        print(f"      executed: {error.executed}\n", flush=True)
        expect(
            type(error) is kind and error.executed == executed,
            f"this should be {kind.__name__}, executed: {executed}",
        )
        return error
    raise SurpriseError(f"this should fail with {kind.__name__}, and gave {result!r}")
