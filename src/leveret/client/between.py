"""What servers have counted between two looks at them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from leveret.observe import OTHERS
from leveret.wire.stats import CallerStats, HistogramStats, QueueStats, ServerStats

__all__ = ["between"]


def between(before: Iterable[ServerStats], after: Iterable[ServerStats]) -> list[ServerStats]:
    """The servers of the second look, as if they had begun to count at the first.

    `uptime` is the seconds between the looks, by the server's own clock. A server that was not
    there at the first look counts in full if it started since then. Otherwise it did not answer the
    first time. Then it is left out, as nobody knows what it has counted since.
    """
    earlier = {server.instance: server for server in before}
    later = list(after)
    spans = [
        server.uptime - earlier[server.instance].uptime
        for server in later
        if server.instance in earlier
    ]
    longest = max(spans, default=0.0)
    found = []
    for server in later:
        first = earlier.get(server.instance)
        if first is not None:
            found.append(_since(first, server))
        elif server.uptime <= longest:
            found.append(server)
    return found


def _since(before: ServerStats, after: ServerStats) -> ServerStats:
    return replace(
        after,
        uptime=max(after.uptime - before.uptime, 0.0),
        methods={
            queue: _queue(before.methods[queue], stats) if queue in before.methods else stats
            for queue, stats in after.methods.items()
        },
    )


def _queue(before: QueueStats, after: QueueStats) -> QueueStats:
    error = after.last_error
    is_old = (
        before.last_error is not None and error is not None and error.at <= before.last_error.at
    )
    return replace(
        after,
        finished=max(after.finished - before.finished, 0),
        failed=max(after.failed - before.failed, 0),
        handled=_counts(before.handled, after.handled),
        handed_back=max(after.handed_back - before.handed_back, 0),
        redelivered=max(after.redelivered - before.redelivered, 0),
        handler=_times(before.handler, after.handler),
        queue=_times(before.queue, after.queue),
        bytes_in=max(after.bytes_in - before.bytes_in, 0),
        bytes_out=max(after.bytes_out - before.bytes_out, 0),
        callers=_callers(before.callers, after.callers),
        last_error=None if is_old else error,
    )


def _counts(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    found = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in found.items() if count > 0}


def _times(before: HistogramStats, after: HistogramStats) -> HistogramStats:
    if len(before.counts) != len(after.counts):
        return after  # it had none before
    return HistogramStats(
        counts=[max(now - then, 0) for then, now in zip(before.counts, after.counts, strict=True)],
        seconds=max(after.seconds - before.seconds, 0.0),
    )


def _callers(
    before: Mapping[str, CallerStats], after: Mapping[str, CallerStats]
) -> dict[str, CallerStats]:
    handled = _callers_counts(
        {name: caller.handled for name, caller in before.items()},
        {name: caller.handled for name, caller in after.items()},
    )
    failed = _callers_counts(
        {name: caller.failed for name, caller in before.items()},
        {name: caller.failed for name, caller in after.items()},
    )
    return {
        name: CallerStats(handled=handled.get(name, 0), failed=failed.get(name, 0))
        for name in {**handled, **failed}
    }


def _callers_counts(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What each caller added, but for `OTHERS`: its callers may have had names at the first look.

    A server moves callers that have not called for long into `OTHERS`, with all their calls. A
    caller that calls again begins at 0.
    """
    added = {}
    for name, count in after.items():
        if name != OTHERS:
            then = before.get(name, 0)
            added[name] = count - then if count >= then else count
    if OTHERS in after:
        rest = sum(after.values()) - sum(before.values()) - sum(added.values())
        added[OTHERS] = max(rest, 0)
    return {name: count for name, count in added.items() if count}
