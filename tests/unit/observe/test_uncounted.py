"""Records of calls that are added to sums many at a time."""

from __future__ import annotations

import threading

from leveret.observe import OK, ClientCounters, ServerCounters
from leveret.observe.uncounted import BATCH, Uncounted


def test_records_are_counted_once_and_in_order() -> None:
    batches: list[list[int]] = []
    uncounted = Uncounted(batches.append)
    uncounted.records += [1, 2]
    uncounted.count_some()
    uncounted.records.append(3)
    uncounted.count()
    uncounted.count()
    assert batches == [[1, 2], [3]]


def test_a_record_that_is_left_while_others_are_counted_waits_for_the_next_time() -> None:
    batches: list[list[int]] = []

    def count(batch: list[int]) -> None:
        batches.append(batch)
        if batch == [1]:  # as the finalizer of a stream that nobody has any more
            uncounted.records.append(2)
            uncounted.count_some()

    uncounted = Uncounted(count)
    uncounted.records.append(1)
    uncounted.count()
    assert batches == [[1]]
    uncounted.count()
    assert batches == [[1], [2]]


def test_sums_are_exact_while_another_thread_reads_them() -> None:
    server, client = ServerCounters(), ClientCounters()
    over = threading.Event()

    def read() -> None:
        before = 0
        while not over.is_set():
            assert server.handled.get(OK, 0) >= before
            before = server.handled.get(OK, 0)
            assert client.in_flight <= 0

    reader = threading.Thread(target=read)
    reader.start()
    calls = 100 * BATCH + 7
    for number in range(calls):
        server.ended(OK if number % 7 else "INTERNAL", f"c{number % 3}", 1.0, 0.5, 0.25, 2, 3)
        if number % 5:
            client.answered(0.5)
        else:
            client.failed(ValueError(), 0.25)
    over.set()
    reader.join()
    failed = len(range(0, calls, 7))
    assert server.handled == {OK: calls - failed, "INTERNAL": failed}
    assert (server.bytes_in, server.bytes_out) == (2 * calls, 3 * calls)
    assert (server.queue.count, server.handler.total) == (calls, calls / 4)
    assert sum(one.handled for one in server.callers.by_name.values()) == calls
    assert client.succeeded + sum(client.handled.values()) == client.seconds.count == calls
