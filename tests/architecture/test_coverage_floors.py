"""The judge of `make test`'s coverage: it fails for a room below its floor, and forgets none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from tests.coverage_floors import FLOORS, File, Report, Summary, main, rooms

ROOT = Path(__file__).parents[2]


def report(**covered: int) -> Report:
    """Files of 20 lines and branches each, of which so many are covered; `a__b` is `a/b.py`."""
    return Report(
        files={
            f"/somewhere/src/leveret/{name.replace('__', '/')}.py": File(
                summary=Summary(
                    covered_lines=min(count, 10),
                    num_statements=10,
                    covered_branches=max(count - 10, 0),
                    num_branches=10,
                )
            )
            for name, count in covered.items()
        }
    )


def judged(found: Report, floors: Mapping[str, int]) -> dict[str, tuple[float, bool]]:
    return {room.name: (room.reached, room.holds) for room in rooms(found, floors)}


def test_lines_and_branches_of_a_folder_count_together() -> None:
    assert judged(report(a__x=20, a__b__y=10, c__z=15), {"leveret/a": 75, "leveret/c": 76}) == {
        "leveret/a": (75.0, True),
        "leveret/c": (75.0, False),
    }


def test_a_file_with_a_floor_counts_for_its_folder_too() -> None:
    floors = {"leveret/a": 70, "leveret/a/life.py": 100}
    assert judged(report(a__x=10, a__life=19), floors) == {
        "leveret/a": (72.5, True),
        "leveret/a/life.py": (95.0, False),
    }


def test_a_branch_that_is_missing_is_not_rounded_away() -> None:
    many = {f"a__x{n}": 20 for n in range(10_000)}
    ((reached, holds),) = judged(report(**many, a__y=19), {"leveret/a": 100}).values()
    assert 99.999 < reached < 100
    assert not holds


def test_a_file_that_is_in_no_room_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"leveret/new/x\.py is in no room"):
        list(rooms(report(new__x=20), {"leveret/a": 1}))


def test_a_room_of_which_nothing_was_measured_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was measured in leveret/b"):
        list(rooms(report(a__x=20), {"leveret/a": 1, "leveret/b": 1}))


def test_every_file_has_a_floor_and_every_floor_a_file() -> None:
    files = [*ROOT.glob("src/leveret/**/*.py"), *ROOT.glob("src/pytest_leveret/**/*.py")]
    full = File(
        summary=Summary(covered_lines=1, num_statements=1, covered_branches=0, num_branches=0)
    )
    assert all(room.holds for room in rooms(Report(files={str(file): full for file in files})))


def test_the_pure_lives_of_a_call_are_covered_fully() -> None:
    for life in ROOT.glob("src/leveret/*/calls/life.py"):
        assert FLOORS[life.relative_to(ROOT / "src").as_posix()] == 100


@pytest.mark.parametrize(("covered", "code"), [(20, 0), (0, 1)])
def test_it_ends_with_an_error_below_a_floor(
    covered: int,
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.coverage_floors.FLOORS", {"leveret/a": 50})
    file = tmp_path / "coverage.json"
    file.write_bytes(msgspec.json.encode(report(a__x=covered)))
    assert main([str(file)]) == code
    told = capsys.readouterr().out
    assert "leveret/a" in told
    assert ("BELOW ITS FLOOR" in told) == bool(code)
