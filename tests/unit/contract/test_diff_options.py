"""Each rule about the options of a method."""

from __future__ import annotations

from typing import Any

import pytest

from leveret import Retry, Service, method
from leveret.contract import service_schema
from leveret.contract.diff_options import diff_options


class Plain(Service, name="shop"):
    @method
    async def it(self) -> None:
        raise NotImplementedError


def described(**options: Any) -> dict[str, Any]:
    class Chosen(Service, name="shop"):
        @method(**options)
        async def it(self) -> None: ...

    found: dict[str, Any] = service_schema(Chosen)["methods"]["it"]
    return found


PLAIN: dict[str, Any] = service_schema(Plain)["methods"]["it"]


def rules(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [f"{change.level} {change.rule}" for change in diff_options("shop.it", old, new)]


@pytest.mark.parametrize(
    ("options", "gained", "lost"),
    [
        ({"idempotent": True}, "fine idempotent-gained", "break idempotent-lost"),
        ({"once": True}, "fine once-gained", "break once-lost"),
        ({"one_way": True}, "break one-way-gained", "break one-way-lost"),
        ({"keep_failed": True}, "fine keep-failed-gained", "warning keep-failed-lost"),
        ({"timeout": 20}, "fine timeout-grown", "warning timeout-shrunk"),
        (
            {"content_type": "application/msgpack"},
            "warning content-type-changed",
            "warning content-type-changed",
        ),
        ({"queue": "quorum"}, "break queue-changed", "break queue-changed"),
        ({"max_length": 10}, "break queue-changed", "break queue-changed"),
        ({"expires": 60}, "break queue-changed", "break queue-changed"),
        ({"priority_levels": 3}, "break queue-changed", "break queue-changed"),
    ],
)
def test_each_rule_holds_both_ways(options: dict[str, Any], gained: str, lost: str) -> None:
    assert rules(PLAIN, described(**options)) == [gained]
    assert rules(described(**options), PLAIN) == [lost]


@pytest.mark.parametrize(
    ("option", "gained", "lost"),
    [
        ("streams", "break streams-gained", "break streams-lost"),
        ("resume", "fine resume-gained", "break resume-lost"),
    ],
)
def test_streams_have_rules_of_their_own(option: str, gained: str, lost: str) -> None:
    assert rules(PLAIN, {**PLAIN, option: True}) == [gained]
    assert rules({**PLAIN, option: True}, PLAIN) == [lost]


def test_what_concerns_only_who_calls_is_no_change() -> None:
    assert rules(PLAIN, described(concurrency=5)) == []
    assert rules(PLAIN, described(retry=Retry(attempts=5))) == []


def test_a_queue_is_told_with_what_it_was_and_is() -> None:
    (change,) = diff_options("shop.it", PLAIN, described(max_length=10))
    assert change.text.startswith(
        "max_length of its queue was None and is 10: servers cannot start"
    )


def test_a_description_without_a_timeout_says_nothing_of_it() -> None:
    assert rules({**PLAIN, "timeout": None}, PLAIN) == []
