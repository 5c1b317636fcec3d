"""The map of services, of what servers say of their callers."""

from __future__ import annotations

import pytest

from leveret.client.service_map import UNNAMED, ServiceMap, service_map
from leveret.wire.stats import CallerStats, QueueStats, ServerStats


def server(
    name: str, callers: dict[str, dict[str, tuple[int, int]]], *, uptime: float = 10.0
) -> ServerStats:
    """One server; `callers` has by method how many calls of whom ended, and failed."""
    methods = {}
    for method, counts in callers.items():
        handled = sum(count for count, _ in counts.values())
        failed = sum(count for _, count in counts.values())
        methods[f"leveret.{method}"] = QueueStats(
            method=method,
            finished=handled,
            failed=failed,
            running=0,
            concurrency=1,
            handled={"OK": handled - failed, "INTERNAL": failed},
            callers={
                who: CallerStats(handled=count, failed=bad) for who, (count, bad) in counts.items()
            },
        )
    services = sorted({method.partition(".")[0] for method in callers})
    return ServerStats(name=name, instance=name, services=services, methods=methods, uptime=uptime)


def edges(drawn: ServiceMap) -> list[tuple[str, str, int, int]]:
    return [
        (edge.caller, edge.service, edge.traffic.handled, edge.traffic.failed)
        for edge in drawn.edges
    ]


def test_calls_of_a_server_are_those_of_its_services_and_others_those_of_programs() -> None:
    drawn = service_map(
        [
            server("shop:1", {"shop.order": {"web:7": (5, 1)}}),
            server("shop:2", {"shop.order": {"web:7": (2, 0), "": (1, 0)}}),
            server("till:1", {"till.pay": {"shop:1": (3, 2)}, "till.open": {"shop:2": (4, 0)}}),
        ]
    )
    assert edges(drawn) == [
        (UNNAMED, "shop", 1, 0),
        ("shop", "till", 7, 2),
        ("web:7", "shop", 7, 1),
    ]
    assert {name: (node.is_service, node.servers) for name, node in drawn.nodes.items()} == {
        UNNAMED: (False, 0),
        "shop": (True, 2),
        "till": (True, 1),
        "web:7": (False, 0),
    }
    assert drawn.nodes["shop"].traffic.handled == 8
    assert drawn.nodes["shop"].traffic.failed == 1
    (by_shop,) = (edge for edge in drawn.edges if edge.caller == "shop")
    assert {method: traffic.handled for method, traffic in by_shop.methods.items()} == {
        "till.open": 4,
        "till.pay": 3,
    }
    assert not by_shop.shared


def test_calls_of_a_process_with_several_services_may_be_those_of_each() -> None:
    drawn = service_map(
        [
            server("all", {"shop.order": {}, "post.send": {}}),
            server("till:1", {"till.pay": {"all": (3, 0)}}),
        ]
    )
    assert edges(drawn) == [("post", "till", 3, 0), ("shop", "till", 3, 0)]
    assert all(edge.shared for edge in drawn.edges)
    assert drawn.nodes["till"].traffic.handled == 3


def test_a_program_may_have_the_name_of_a_service() -> None:
    drawn = service_map([server("a", {"shop.order": {"shop": (1, 0)}})])
    assert edges(drawn) == [("shop (program)", "shop", 1, 0)]


def test_rates_are_of_what_was_counted_lately() -> None:
    old = server("a", {"shop.order": {"web": (50, 5), "cron": (1, 0)}})
    new = server("a", {"shop.order": {"web": (8, 2)}}, uptime=4.0)
    drawn = service_map([old], [new])
    by_caller = {edge.caller: edge.traffic for edge in drawn.edges}
    assert (by_caller["web"].handled, by_caller["web"].per_second) == (50, 2.0)
    assert by_caller["web"].failed_per_second == 0.5
    assert (by_caller["cron"].handled, by_caller["cron"].per_second) == (1, 0.0)
    assert drawn.nodes["shop"].traffic.per_second == 2.0
    assert drawn.nodes["web"].traffic.per_second is None
    assert service_map([old]).edges[0].traffic.per_second is None


def test_a_failure_hits_all_callers_of_callers_the_nearest_first() -> None:
    drawn = service_map(
        [
            server("shop:1", {"shop.order": {"web": (1, 0), "shop:1": (1, 0)}}),
            server("till:1", {"till.pay": {"shop:1": (1, 0), "cron": (1, 0)}}),
            server("bank:1", {"bank.move": {"till:1": (1, 0)}}),
            server("post:1", {"post.send": {"bank:1": (1, 0)}}),
        ]
    )
    hit = drawn.impact("bank")
    assert [(one.name, one.is_service) for one in hit] == [
        ("till", True),
        ("cron", False),
        ("shop", True),
        ("web", False),
    ]
    assert hit[-1].path == ("web", "shop", "till", "bank")
    assert drawn.impact("web") == []
    with pytest.raises(KeyError):
        drawn.impact("nobody")


def test_services_that_call_each_other_hit_each_other() -> None:
    drawn = service_map(
        [
            server("a:1", {"a.x": {"b:1": (1, 0)}}),
            server("b:1", {"b.x": {"a:1": (1, 0)}}),
        ]
    )
    assert [one.name for one in drawn.impact("a")] == ["b"]
