"""A server compares its contracts with those of others, and says once what differs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from leveret.contract import fingerprint
from leveret.errors import ConnectionLost
from leveret.server import contracts
from leveret.server.contracts import ContractCheck
from leveret.wire.server_answers import Contracts, Info
from tests.behaviour.patience import until

MINE = {"key": "shop.find", "arguments": {"type": "object"}, "idempotent": False}
THEIRS = {**MINE, "idempotent": True}


def hashes(instance: str, method: dict[str, Any]) -> bytes:
    return msgspec.json.encode(told(instance, method))


def told(instance: str, method: dict[str, Any]) -> Contracts:
    return Contracts(
        instance=instance,
        name="other:1",
        services=["shop"],
        contracts={"shop.find": fingerprint(method), "shop.unknown": "1f"},
    )


def schemas(instance: str, method: dict[str, Any]) -> bytes:
    found = {"shop": {"methods": {"find": method}}}
    return msgspec.json.encode(
        Info(instance=instance, name="other:1", services=["shop"], schemas=found)
    )


class There:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.fails = False
        self.check = ContractCheck(
            mine=lambda: told("me", MINE), schemas=lambda: {"shop.find": MINE}, ask=self._ask
        )

    async def _ask(self, word: str, key: str) -> None:
        self.asked.append((word, key))
        if self.fails:
            raise ConnectionLost("it broke")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [m for m in caplog.messages if "another contract" in m]


async def test_a_server_asks_the_others_when_it_starts_and_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contracts, "COMPARED_EVERY", 0.001)
    there = There()
    there.fails = True
    there.check.start()
    await until(lambda: len(there.asked) >= 3, "it asks")
    assert set(there.asked) == {("contracts", "shop")}
    await there.check.close()


async def test_one_that_has_another_hash_is_asked_and_what_differs_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = There()
    there.check.answered(hashes("other", THEIRS))
    there.check.answered(hashes("third", THEIRS))  # the same as the other one
    await until(lambda: there.asked == [("info", "shop.other")], "its schemas are asked for")
    for _ in range(2):
        there.check.answered(schemas("other", THEIRS))
    (line,) = warnings(caplog)
    assert line == (
        "shop.find has another contract at the server other:1 (instance other), which takes"
        " requests from the same queue: idempotent is false here and true there. Calls may fail,"
        " by which server gets them"
    )
    there.check.answered(hashes("fourth", THEIRS))
    assert len(there.asked) == 1
    await there.check.close()


async def test_the_same_contract_and_the_server_itself_are_nothing_to_talk_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = There()
    there.check.answered(hashes("other", MINE))
    there.check.answered(hashes("me", THEIRS))
    there.check.answered(schemas("other", THEIRS))  # nobody asked
    await there.check.close()
    assert (there.asked, warnings(caplog)) == ([], [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"[]",
        b'{"contracts": 1}',
        b'{"contracts": {}}',
        b'{"schemas": {}}',
        b'{"schemas": [], "instance": []}',
        b'{"schemas": {"a": 1}, "instance": "other", "name": "x"}',
        b'{"schemas": {"a": {"methods": {"b": {}}}}, "instance": "other", "name": "x"}',
        b"[" * 100_000,
    ],
)
async def test_whatever_is_answered_harms_nothing(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    there = There()
    there.check.answered(hashes("other", THEIRS))
    there.check.answered(body)
    await there.check.close()
    assert warnings(caplog) == []


async def test_somebody_who_makes_contracts_up_is_asked_for_a_bounded_number() -> None:
    there = There()
    for number in range(500):
        there.check.answered(hashes(f"forged {number}", {**THEIRS, "once": number}))
    await until(lambda: len(there.asked) == 100, "a hundred are asked")
    await there.check.close()
