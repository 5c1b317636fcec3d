"""What a server says of itself."""

from __future__ import annotations

import os
import time

import msgspec

import leveret
from leveret.contract import spec_of
from leveret.observe import BOUNDS, LastError, ServerCounters
from leveret.server.status import QueueStatus, Status
from tests.unit.server.calls.making import Desk


def queue(counters: ServerCounters, *, adapts: bool) -> QueueStatus:
    return QueueStatus(
        queue="leveret.desk.work",
        method="desk.work",
        finished=5,
        failed=1,
        running=2,
        waiting=3,
        concurrency=7,
        adapts=adapts,
        counters=counters,
    )


def status(
    *, adapts: bool = False, now: float = 0.0, counters: ServerCounters | None = None
) -> Status:
    counted = counters or ServerCounters()
    times = iter((0.0, now))
    return Status(
        "b47af560",
        "host:1",
        [spec_of(Desk)],
        lambda: [queue(counted, adapts=adapts)],
        list,
        times.__next__,
    )


def test_a_ping_tells_who_the_server_is() -> None:
    told = msgspec.to_builtins(status().ping())
    assert {name: told[name] for name in ("instance", "name", "services", "calls_for_all")} == {
        "instance": "b47af560",
        "name": "host:1",
        "services": ["desk"],
        "calls_for_all": True,
    }
    assert told["process"]["pid"] == os.getpid()
    assert told["process"]["leveret"] == leveret.__version__
    assert told["queues"] == {"desk": "leveret.desk.work"}
    assert told["hashes"] == msgspec.to_builtins(status().ping())["hashes"]
    assert abs(told["started"] - time.time()) < 3600
    assert "versions" not in told


def test_info_has_the_schemas_of_its_services() -> None:
    info = status().info()
    assert set(info.schemas) == {"desk"}
    assert set(info.schemas["desk"]["methods"]) == {"work", "again", "counted", "pay"}


def test_contracts_are_told_by_a_hash_for_each_method() -> None:
    contracts = status().contracts()
    assert set(contracts.contracts) == {"desk.work", "desk.again", "desk.counted", "desk.pay"}
    assert contracts.contracts["desk.work"] != contracts.contracts["desk.again"]
    assert status().contracts().contracts == contracts.contracts
    assert set(status().schemas()) == set(contracts.contracts)


def test_stats_tell_how_each_queue_stands_and_what_waits_where_the_limit_moves() -> None:
    told = msgspec.to_builtins(status(now=12.5).stats())
    assert told["uptime"] == 12.5
    assert told["bounds"] == list(BOUNDS)
    assert told["methods"] == {
        "leveret.desk.work": {
            "method": "desk.work",
            "finished": 5,
            "failed": 1,
            "running": 2,
            "concurrency": 7,
            "waiting": 3,
        }
    }
    assert status(adapts=True).stats().methods["leveret.desk.work"].adapts


def test_stats_tell_what_was_counted() -> None:
    counters = ServerCounters()
    counters.ended("OK", "web", 1.0, 0.002, 0.02, 10, 20)
    counters.ended("INTERNAL", "web", 2.0, 0.002, None, 10, 30)
    counters.last_error = LastError(code="INTERNAL", message="no", call_id="1f", at=7.0)
    told = status(counters=counters).stats().methods["leveret.desk.work"]
    assert told.handled == {"OK": 1, "INTERNAL": 1}
    assert sum(told.handler.counts) == 1
    assert sum(told.queue.counts) == 2
    assert told.handler.seconds == 0.02
    assert (told.bytes_in, told.bytes_out) == (20, 50)
    assert msgspec.to_builtins(told.callers) == {"web": {"handled": 2, "failed": 1}}
    assert msgspec.to_builtins(told.last_error) == {
        "code": "INTERNAL",
        "message": "no",
        "call": "1f",
        "at": 7.0,
    }
