"""`leveret diff`: whether a new contract breaks those who have the old one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import typer

from leveret.cli.contracts import Descriptions, descriptions_of, one_line_errors
from leveret.cli.exits import DONE
from leveret.cli.options import Url
from leveret.cli.printing import one_line, print_result
from leveret.contract.changes import Change, Level
from leveret.contract.diff import diff as changes_of

__all__ = ["CODES", "diff"]

CODES: Final = (0, 1, 2, 3, 5, 7, 9, 10, 11, 13, 70, 130)
"""The exit codes that it can have."""
_BREAKS: Final = 1


def diff(
    old: Annotated[
        str,
        typer.Argument(
            metavar="OLD",
            help="What clients have: module:Service, a file of `leveret schema`, live:NAME, or"
            " live: for all that is served.",
        ),
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What servers are to have, likewise.")],
    url: Url = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the changes as one line of JSON.")
    ] = False,
) -> None:
    """Compare two contracts; exit with 1 if calls by the old one break at servers of the new one.

    What servers take may only widen, what they give only narrow. Where a side has several services,
    those of the other one count.

    Example: leveret diff live:shop shop:Shop
    """
    with one_line_errors(as_json=json):
        changes = _changes(descriptions_of(old, url), descriptions_of(new, url))
    count = Counter(change.level for change in changes)
    if json:
        found = {"breaks": count[Level.BREAK], "warnings": count[Level.WARNING]}
        print_result(found | {"changes": msgspec.to_builtins(changes)}, as_json=True)
    else:
        _print(changes, count)
    raise typer.Exit(_BREAKS if count[Level.BREAK] else DONE)


def _changes(old: Descriptions, new: Descriptions) -> list[Change]:
    """What changed between the services that are to be compared."""
    if len(old) == len(new) == 1:
        return changes_of(*old.values(), *new.values())
    names = min((old, new), key=len) if 1 in (len(old), len(new)) else old.keys() | new.keys()
    nothing: dict[str, object] = {"methods": {}}
    return [
        change
        for name in sorted(names)
        for change in changes_of(
            old.get(name, {**nothing, "service": name}),
            new.get(name, {**nothing, "service": name}),
        )
    ]


def _print(changes: Sequence[Change], count: Counter[Level]) -> None:
    for change in changes:
        text = f"{change.level:7}  {change.method}: {change.text} [{change.rule}]"
        print_result(one_line(text), as_json=False)
    breaks, warnings = (
        f"{number} {word}{'' if number == 1 else 's'}"
        for number, word in ((count[Level.BREAK], "break"), (count[Level.WARNING], "warning"))
    )
    print_result(f"{breaks}, {warnings}" if changes else "no difference", as_json=False)
