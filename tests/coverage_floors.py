"""Branch coverage of each room, and the floor that it may not fall below; `make test` ends with it.

A floor is what was reached when it was last set, rounded down. It only goes up: raise it here when
the table says that a room has more. What counts are lines and branches together, as in the totals
of coverage.py. Its settings are in pyproject.toml.

    python -m tests.coverage_floors build/coverage/coverage.json
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

FLOORS: Final[Mapping[str, int]] = {
    "leveret/amqp": 99,
    "leveret/annotations": 99,
    "leveret/asyncapi": 100,
    "leveret/blocking": 91,
    "leveret/broker": 95,
    "leveret/cli": 85,
    "leveret/client": 95,
    "leveret/client/calls/life.py": 100,
    "leveret/codec": 98,
    "leveret/console": 95,
    "leveret/contract": 99,
    "leveret/contrib": 98,
    "leveret/demo": 48,
    "leveret/documents": 99,
    "leveret/metrics": 99,
    "leveret/observe": 99,
    "leveret/once": 66,
    "leveret/rabbit": 94,
    "leveret/server": 93,
    "leveret/server/calls/life.py": 100,
    "leveret/streaming": 100,
    "leveret/testing": 87,
    "leveret/tracing": 93,
    "leveret/transport": 97,
    "leveret/wire": 97,
    # The files that are no room.
    "leveret/__init__.py": 100,
    "leveret/__main__.py": 83,
    "leveret/backoff.py": 100,
    "leveret/body_parts.py": 100,
    "leveret/errors.py": 97,
    "leveret/given_middleware.py": 100,
    "leveret/given_numbers.py": 100,
    "leveret/sliding_window.py": 95,
    "leveret/async_only.py": 89,
    "leveret/of_one_process.py": 100,
    "leveret/snake_case.py": 100,
    "leveret/version.py": 100,
    "pytest_leveret": 99,
}
"""By folder or file below `src/`, in percent. A file counts for every entry that holds it."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What coverage.py counted in one file."""

    covered_lines: int
    num_statements: int
    covered_branches: int
    num_branches: int


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file in the report of `coverage json`."""

    summary: Summary


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report of `coverage json`, as far as it is needed here."""

    files: dict[str, File]


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What was reached in one folder or file."""

    name: str
    """As in `FLOORS`."""
    reached: float
    """Percent of its lines and branches."""
    missing: int
    """Lines and branches that no test came by."""
    floor: int
    """Percent that it may not fall below."""

    @property
    def holds(self) -> bool:
        return self.reached >= self.floor

    def __str__(self) -> str:
        verdict = "" if self.holds else "  BELOW ITS FLOOR"
        if self.reached >= self.floor + 1:
            verdict = f"  (the floor can be {int(self.reached)})"
        reached = f"{self.reached:6.2f} % {self.missing:5} missing"
        return f"{self.name:34} {reached}, floor {self.floor} %{verdict}"


def _path(file: str) -> str:
    """The path of a file below `src/`."""
    return Path(file).as_posix().rpartition("src/")[2]


def rooms(report: Report, floors: Mapping[str, int] | None = None) -> Iterator[Room]:
    """Measure each room; `FLOORS` has them, where no others are given.

    :raises ValueError: if a file belongs to no room, or a room has no file.
    """
    floors = FLOORS if floors is None else floors
    counts: dict[str, Counter[str]] = {name: Counter() for name in floors}
    for file, found in report.files.items():
        path = _path(file)
        owners = [name for name in floors if path == name or path.startswith(f"{name}/")]
        if not owners:
            raise ValueError(f"{path} is in no room: give it a floor in {__name__}")
        its = found.summary
        for owner in owners:
            counts[owner]["all"] += its.num_statements + its.num_branches
            counts[owner]["covered"] += its.covered_lines + its.covered_branches
    for name, count in counts.items():
        if not count:
            raise ValueError(f"nothing was measured in {name}: take it out of {__name__}")
        missing = count["all"] - count["covered"]
        reached = 100 - 100 * missing / count["all"] if missing else 100.0
        yield Room(name=name, reached=reached, missing=missing, floor=floors[name])


def main(arguments: Sequence[str]) -> int:
    """Show the table.

    :returns: 1 if a room is below its floor, else 0.
    """
    (file,) = arguments
    found = list(rooms(msgspec.json.decode(Path(file).read_bytes(), type=Report)))
    print("Lines and branches that tests came by, and the floor of each room:")
    for room in found:
        print(f"  {room}")
    return 0 if all(room.holds for room in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
