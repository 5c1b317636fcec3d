"""What the demo prints, and the check that each thing goes as it is told."""

from __future__ import annotations

import textwrap
from collections.abc import Awaitable

from leveret import CallError

WIDTH = 96


class SurpriseError(Exception):
    """Something did not behave as the demo says it does."""


def section(title: str) -> None:
    """Begin a part of the demo."""
    print(f"\n{title}\n{'-' * len(title)}", flush=True)


def tell(text: str, indent: int = 2) -> None:
    """Print a paragraph."""
    margin = " " * indent
    print(textwrap.fill(text, WIDTH, initial_indent=margin, subsequent_indent=margin), flush=True)


def show(code: str, value: object) -> None:
    """Print what a line of code gave."""
    print(f"  {code:<58} -> {value}", flush=True)


def expect(holds: object, what: str) -> None:
    """Hold the demo to what it says.

    :raises SurpriseError: unless `holds`.
    """
    if not holds:
        raise SurpriseError(what)


async def fails(
    story: str, code: str, call: Awaitable[object], kind: type[CallError], executed: str
) -> CallError:
    """Make a call that fails, and show what its caller gets.

    :raises SurpriseError: if it fails otherwise, or not at all.
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
