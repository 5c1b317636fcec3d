"""The times that client and server must agree on, in seconds.

A client on one version of Leveret calls servers on another, so a value here is a part of the wire
protocol even though it is never sent. `tests/unit/wire/test_timing.py` holds the inequalities.
"""

from __future__ import annotations

from typing import Final

# -- a call that takes long --------------------------------------------------------------------

ANNOUNCE_AFTER: Final = 0.25
"""A server tells the caller of each call that it has had for this long that it has it. It looks as
often as that, so the notice leaves after twice the time at the latest."""

PROBE_AFTER: Final = 0.25
"""A client probes the queue of a call that has waited for this long, or for half of its timeout if
that is less."""

QUERY_ANSWERED_WITHIN: Final = 0.4
"""A client that asked servers for a call takes its request for lost after this long without an
answer. Between two copies of a request lies twice the time with each further copy, however often
the connection breaks meanwhile."""

NOTICE_TRUSTED_FOR: Final = 4.0
"""A client believes for this long that a server still has a call, then it asks again."""

NOTICE_IN_TRANSIT: Final = 0.02
"""After a probe that found no consumer, a client waits for this long for the notices of a server
that announced its calls just before it cancelled its consumer."""

REPORTED_EVERY: Final = 0.25
"""A server tells a caller at most this often how far its call is."""

# -- the deadline ------------------------------------------------------------------------------

REPLY_GRACE: Final = 0.08
"""A client waits for this long after a deadline for the reply that tells where the call was."""

LATEST_END: Final = 0.095
"""A client ends a call at most this long after its deadline, before the tick of its timer."""

PROMISED_END: Final = 0.1
"""docs/reliability.md promises that a call ends at most this long after its deadline."""

# -- requests that were there before their server ----------------------------------------------

NO_SERVER_EARLIEST: Final = 0.05
"""No client tells a call with a timeout of 0.1 s or more sooner than this that it has no server. So
a server that has listened for less need not ask the callers of what came meanwhile."""

CONFIRM_WITHIN: Final = 2.0
"""A caller has this long to confirm that it still waits, before its request is refused."""

# -- what is restored --------------------------------------------------------------------------

REPLY_QUEUE_LIVES: Final = 60.0
"""A reply queue outlives its client's connection by this long (its `x-expires`)."""

DECLARED_AGAIN_WITHIN: Final = 2.0
"""Servers have this long to declare a deleted queue again, before its calls are given up."""

SERVERS_RETURN_WITHIN: Final = 5.0
"""For this long after a reconnect, a client takes servers to be on their way back."""
