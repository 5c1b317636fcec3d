"""The map of services as a table, as Mermaid, as DOT and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from leveret.cli.printing import one_line
from leveret.cli.tables import amount, rate, table
from leveret.client.service_map import Affected, Edge, ServiceMap, Traffic

__all__ = ["as_dot", "as_impact", "as_json", "as_mermaid", "as_table"]


def as_table(drawn: ServiceMap) -> list[str]:
    """A line for each caller of a service, then one for each service that nobody called."""
    rows = [
        (
            edge.caller if drawn.nodes[edge.caller].is_service else f"{edge.caller} *",
            edge.service,
            amount(edge.traffic.handled),
            amount(edge.traffic.failed),
            rate(edge.traffic.per_second),
            rate(edge.traffic.failed_per_second),
            _methods(edge) + (" (shared)" if edge.shared else ""),
        )
        for edge in drawn.edges
    ]
    called = {edge.service for edge in drawn.edges}
    rows += [
        ("-", node.name, "0", "0", "", "", "")
        for node in drawn.nodes.values()
        if node.is_service and node.name not in called
    ]
    heads = (*("CALLER", "SERVICE", ">CALLS", ">FAILED", ">PER S", ">FAILED PER S", "METHODS"),)
    if not rows:
        return []
    lines = table(heads, rows)
    if any(not node.is_service for node in drawn.nodes.values()):
        lines.append("* serves nothing itself")
    if any(edge.shared for edge in drawn.edges):
        lines.append("(shared): its process serves others too, and the calls may be theirs")
    return lines


def as_impact(service: str, affected: Sequence[Affected]) -> list[str]:
    """Whom the failure of a service hits, and by which way."""
    rows = [
        (
            one.name if one.is_service else f"{one.name} *",
            str(len(one.path) - 1),
            " -> ".join(one.path),
        )
        for one in affected
    ]
    if not rows:
        return [one_line(f"nobody is known to call {service}")]
    return table(("HIT", ">STEPS", "PATH"), rows)


def as_mermaid(drawn: ServiceMap) -> list[str]:
    """A flowchart for Mermaid, as Markdown of GitHub and GitLab shows it."""
    ids = {name: f"n{number}" for number, name in enumerate(drawn.nodes)}
    lines = ["flowchart LR"]
    for node in drawn.nodes.values():
        shape = '["{}"]' if node.is_service else '(["{}"])'
        lines.append(f"    {ids[node.name]}{shape.format(_mermaid(node.name))}")
    for edge in drawn.edges:
        arrow = "-.->" if edge.shared else "-->"
        lines.append(
            f'    {ids[edge.caller]} {arrow}|"{_label(edge.traffic)}"| {ids[edge.service]}'
        )
    return lines


def as_dot(drawn: ServiceMap) -> list[str]:
    """A graph for Graphviz, as in `leveret map --format dot | dot -Tsvg`."""
    lines = ["digraph services {", "    rankdir=LR;"]
    for node in drawn.nodes.values():
        shape = "box" if node.is_service else "ellipse"
        lines.append(f"    {_dot(node.name)} [shape={shape}];")
    for edge in drawn.edges:
        more = [f"label={_dot(_label(edge.traffic))}"]
        if edge.traffic.failed:
            more.append("color=red")
        if edge.shared:
            more.append("style=dashed")
        lines.append(f"    {_dot(edge.caller)} -> {_dot(edge.service)} [{', '.join(more)}];")
    return [*lines, "}"]


def as_json(drawn: ServiceMap) -> dict[str, Any]:
    """The map as data; rates are in calls per second, null where nobody looked twice."""
    return {
        "nodes": [msgspec.to_builtins(node) for node in drawn.nodes.values()],
        "edges": [msgspec.to_builtins(edge) for edge in drawn.edges],
    }


def _methods(edge: Edge) -> str:
    names = sorted(edge.methods, key=lambda name: (-edge.methods[name].handled, name))
    shown = [name.partition(".")[2] for name in names[:4]]
    return ", ".join(shown) + (f", +{len(names) - 4}" if len(names) > 4 else "")


def _label(traffic: Traffic) -> str:
    if traffic.per_second is None:
        text = f"{amount(traffic.handled)} calls"
        return f"{text}, {amount(traffic.failed)} failed" if traffic.failed else text
    text = f"{rate(traffic.per_second)}/s"
    failed = traffic.failed_per_second
    return f"{text}, {rate(failed)}/s failed" if failed else text


def _mermaid(name: str) -> str:
    """A text between quotation marks. Mermaid has entities with # in place of &."""
    return "".join(
        character if character.isalnum() or character in " _.-:@/()*" else f"#{ord(character)};"
        for character in one_line(name)
    )


def _dot(name: str) -> str:
    escaped = one_line(name).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
