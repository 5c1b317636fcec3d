"""The run as a picture: calls per second by payload, and the latency of a call alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .load import SMALLEST, Load
from .peer import CannotRunError, Peer
from .report import OURS
from .rounds import Outcome, size

OURS_COLOUR = "#b5562b"
PEER_COLOUR = "#9aa5ad"
PREFERRED_IN_FLIGHT = 100


def write_chart(path: Path, outcome: Outcome, peers: Sequence[Peer], subtitle: str) -> None:
    """Write an SVG (or what the file's name ends in).

    :raises CannotRunError: when matplotlib is missing.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CannotRunError("no chart without matplotlib: pip install matplotlib") from error
    panels = _panels(outcome, peers)
    if not panels:
        return
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.2 * columns, 0.8 + 2.9 * rows), layout="constrained")
    figure.suptitle(f"Leveret and its peers\n{subtitle}", fontsize=10)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, bars, form) in zip(grid.flat, panels, strict=False):
        _draw(axes, title, bars, form)
    # Letters stay letters in an SVG, which keeps it small and lets one search it.
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(path)


Bar = tuple[Peer, float]


def _panels(outcome: Outcome, peers: Sequence[Peer]) -> list[tuple[str, list[Bar], str]]:
    """Title, bars and number format of each panel: rates by payload, then the latency alone."""
    panels = []
    for payload in dict.fromkeys(load.payload for load in outcome.loads):
        load = _busiest(outcome, payload)
        title = f"{size(payload)}, {load.in_flight:,} in flight: calls/s"
        panels.append((title, _bars(outcome, peers, load, "rate"), "{:,.0f}"))
    alone = outcome.find(SMALLEST, 1)
    if alone:
        bars = _bars(outcome, peers, alone, "p50_ms")
        panels.append((f"{size(SMALLEST)}, alone: p50 in ms (less is better)", bars, "{:.2f}"))
    return [panel for panel in panels if panel[1]]


def _busiest(outcome: Outcome, payload: int) -> Load:
    """The load of a payload with 100 in flight, or as near to it as was measured."""
    loads = [load for load in outcome.loads if load.payload == payload]
    return min(loads, key=lambda load: abs(load.in_flight - PREFERRED_IN_FLIGHT))


def _bars(outcome: Outcome, peers: Sequence[Peer], load: Load, figure: str) -> list[Bar]:
    """The peers that were measured, best first."""
    bars = []
    for peer in peers:
        found = outcome.median(peer.name, load)
        if found is not None:
            bars.append((peer, float(getattr(found, figure))))
    return sorted(bars, key=lambda bar: bar[1], reverse=figure == "rate")


def _draw(axes: Any, title: str, bars: list[Bar], form: str) -> None:
    drawn = axes.barh(
        [peer.title for peer, _ in bars],
        [value for _, value in bars],
        color=[OURS_COLOUR if peer.name == OURS else PEER_COLOUR for peer, _ in bars],
    )
    axes.bar_label(drawn, [form.format(value) for _, value in bars], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=9, loc="left")
    axes.margins(x=0.18)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
