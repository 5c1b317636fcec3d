"""The map of services in all its forms."""

from __future__ import annotations

import json

from leveret.cli.map_formats import as_dot, as_impact, as_json, as_mermaid, as_table
from leveret.client.service_map import Affected, Edge, Node, ServiceMap, Traffic

QUIET = Traffic(handled=7)
BUSY = Traffic(handled=100, failed=3, per_second=12.5, failed_per_second=0.5)


def drawn() -> ServiceMap:
    nodes = (
        Node(name="shop", is_service=True, servers=2),
        Node(name="till", is_service=True, servers=1),
        Node(name='we"b\n', is_service=False),
    )
    return ServiceMap(
        nodes={node.name: node for node in nodes},
        edges=[
            Edge(
                caller="shop",
                service="till",
                shared=True,
                traffic=QUIET,
                methods={"till.pay": QUIET},
            ),
            Edge(
                caller='we"b\n',
                service="till",
                traffic=BUSY,
                methods={f"till.m{number}": Traffic(handled=number) for number in range(6)},
            ),
        ],
    )


def test_the_table_has_callers_and_services_that_nobody_called() -> None:
    assert as_table(drawn()) == [
        "CALLER    SERVICE  CALLS  FAILED  PER S  FAILED PER S  METHODS",
        "shop      till         7       0                       pay (shared)",
        'we"b\\n *  till       100       3   12.5           0.5  m5, m4, m3, m2, +2',
        "-         shop         0       0",
        "* serves nothing itself",
        "(shared): its process serves others too, and the calls may be theirs",
    ]
    assert as_table(ServiceMap(nodes={}, edges=[])) == []


def test_mermaid_has_a_node_for_each_and_names_escaped() -> None:
    assert as_mermaid(drawn()) == [
        "flowchart LR",
        '    n0["shop"]',
        '    n1["till"]',
        '    n2(["we#34;b#92;n"])',
        '    n0 -.->|"7 calls"| n1',
        '    n2 -->|"12.5/s, 0.5/s failed"| n1',
    ]


def test_dot_marks_what_fails_and_what_is_shared() -> None:
    assert as_dot(drawn()) == [
        "digraph services {",
        "    rankdir=LR;",
        '    "shop" [shape=box];',
        '    "till" [shape=box];',
        '    "we\\"b\\\\n" [shape=ellipse];',
        '    "shop" -> "till" [label="7 calls", style=dashed];',
        '    "we\\"b\\\\n" -> "till" [label="12.5/s, 0.5/s failed", color=red];',
        "}",
    ]


def test_json_has_all_figures() -> None:
    found = json.loads(json.dumps(as_json(drawn())))
    assert [node["name"] for node in found["nodes"]] == ["shop", "till", 'we"b\n']
    assert found["edges"][1]["traffic"] == {
        "handled": 100,
        "failed": 3,
        "per_second": 12.5,
        "failed_per_second": 0.5,
    }


def test_the_impact_shows_the_way_of_a_failure() -> None:
    hit = [
        Affected(name="till", is_service=True, path=("till", "bank")),
        Affected(name="web", is_service=False, path=("web", "till", "bank")),
    ]
    assert as_impact("bank", hit) == [
        "HIT    STEPS  PATH",
        "till       1  till -> bank",
        "web *      2  web -> till -> bank",
    ]
    assert as_impact("bank", []) == ["nobody is known to call bank"]
