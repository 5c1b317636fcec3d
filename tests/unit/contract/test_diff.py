"""Two contracts, method by method."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from leveret import ContractError, Service, method
from leveret.contract import service_schema
from leveret.contract.changes import Level
from leveret.contract.diff import diff

ROOT = Path(__file__).parents[3]


class Old(Service, name="shop"):
    @method(idempotent=True)
    async def look(self, sku: str) -> int:
        raise NotImplementedError

    @method
    async def buy(self, sku: str) -> int:
        raise NotImplementedError


class New(Service, name="shop"):
    """Words do not count."""

    @method
    async def look(self, sku: str, at: int = 0) -> int:
        """Nor do these."""
        raise NotImplementedError

    @method
    async def sell(self, sku: str) -> int:
        raise NotImplementedError


class Renamed(Service, name="store"):
    @method(idempotent=True)
    async def look(self, sku: str) -> int:
        raise NotImplementedError

    @method
    async def buy(self, sku: str) -> int:
        raise NotImplementedError


def found(old: Any, new: Any) -> list[str]:
    return [
        f"{it.level} {it.method} {it.rule}" for it in diff(service_schema(old), service_schema(new))
    ]


def test_the_worst_comes_first() -> None:
    assert found(Old, New) == [
        "break shop.buy method-removed",
        "break shop.look idempotent-lost",
        "fine shop.look argument-added",
        "fine shop.sell method-added",
    ]


def test_a_contract_is_no_change_to_itself() -> None:
    assert found(Old, Old) == []


def test_requests_go_by_the_name_of_the_service() -> None:
    assert found(Old, Renamed) == ["break shop service-renamed"]


@pytest.mark.parametrize("damage", [{"methods": None}, {"methods": {"look": {}, "buy": {}}}, {}])
def test_what_is_no_description_is_an_error(damage: dict[str, Any]) -> None:
    whole = service_schema(Old)
    broken = {**whole, **damage} if damage else {}
    with pytest.raises(ContractError, match="cannot be read"):
        diff(whole, broken)


def test_every_rule_is_in_the_document_with_its_level() -> None:
    """The rules that the code has are the ones that the tests of its files go through."""
    sources = "".join(
        (ROOT / "src/leveret/contract" / name).read_text()
        for name in ("diff.py", "diff_bodies.py", "diff_options.py")
    )
    tested = "".join(
        (ROOT / "tests/unit/contract" / name).read_text()
        for name in ("test_diff.py", "test_diff_bodies.py", "test_diff_options.py")
    )
    levels = "|".join(Level)
    rows = dict(
        re.findall(
            rf"^\| `([a-z-]+)` \| ({levels}) \|",
            (ROOT / "docs/contracts.md").read_text(),
            re.MULTILINE,
        )
    )
    proven = {
        rule: level
        for level, rule in re.findall(rf'"({levels}) (?:shop(?:\.\w+)? )?([a-z-]+)"', tested)
    }
    proven["result-absent"] = "warning"
    assert rows == proven
    for rule in re.findall(r'"((?:[a-z]+-)+[a-z]+)"', sources):
        assert rule in rows, f"docs/contracts.md does not tell of the rule {rule}"
