"""What a server says of itself."""

from __future__ import annotations

import msgspec

from leveret.contract import spec_of
from leveret.server.status import QueueStatus, Status
from tests.unit.server.calls.making import Desk


def queue(*, adapts: bool) -> QueueStatus:
    return QueueStatus(
        queue="leveret.desk.work",
        finished=5,
        failed=1,
        running=2,
        waiting=3,
        concurrency=7,
        adapts=adapts,
    )


def status(*, adapts: bool = False, now: float = 0.0) -> Status:
    times = iter((0.0, now))
    return Status(
        "b47af560", "host:1", [spec_of(Desk)], lambda: [queue(adapts=adapts)], times.__next__
    )


def test_a_ping_tells_who_the_server_is() -> None:
    assert msgspec.to_builtins(status().ping()) == {
        "instance": "b47af560",
        "name": "host:1",
        "services": ["desk"],
        "calls_for_all": True,
    }


def test_info_has_the_schemas_of_its_services() -> None:
    info = status().info()
    assert set(info.schemas) == {"desk"}
    assert set(info.schemas["desk"]["methods"]) == {"work", "again", "counted", "pay"}


def test_contracts_are_told_by_a_hash_for_each_method() -> None:
    contracts = status().contracts()
    assert set(contracts.contracts) == {"desk.work", "desk.again", "desk.counted", "desk.pay"}
    assert contracts.contracts["desk.work"] != contracts.contracts["desk.again"]
    assert status().contracts() == contracts
    assert set(status().schemas()) == set(contracts.contracts)


def test_stats_tell_how_each_queue_stands_and_what_waits_where_the_limit_moves() -> None:
    told = msgspec.to_builtins(status(now=12.5).stats())
    assert told["uptime"] == 12.5
    assert told["methods"] == {
        "leveret.desk.work": {"finished": 5, "failed": 1, "running": 2, "concurrency": 7}
    }
    assert status(adapts=True).stats().methods["leveret.desk.work"].waiting == 3
