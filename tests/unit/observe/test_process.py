"""What the clients and servers of a process count, those included that are gone."""

from __future__ import annotations

import gc
from collections.abc import Iterable

from msgspec import Struct

from leveret.observe import OK, ClientMethods, ConnectionCounters, ServerCounters
from leveret.observe.process import ProcessCounters


class Queue(Struct, frozen=True, kw_only=True):
    """How a queue stands."""

    method: str = "desk.work"
    running: int = 1
    waiting: int = 2
    concurrency: int = 10


class AServer:
    """Has two queues of one method."""

    def __init__(self) -> None:
        self.counters = ServerCounters(), ServerCounters()
        self.queues = [Queue(), Queue(running=3)]

    def loads(self) -> Iterable[Queue]:
        return self.queues

    def work(self) -> None:
        for counters in self.counters:
            counters.ended(OK, "", 1.0, 0.1, 0.1, 1, 1)


class AClient:
    pass


def begun(process: ProcessCounters) -> AServer:
    server = AServer()
    process.add_server(server, tuple(("desk.work", counters) for counters in server.counters))
    return server


def test_all_queues_of_a_method_are_one_and_share_its_places() -> None:
    process = ProcessCounters()
    server, other = begun(process), begun(process)
    server.work()
    other.work()
    served = process.snapshot().served["desk.work"]
    assert served.handled == {OK: 4}
    assert (served.running, served.waiting, served.concurrency) == (8, 8, 20)


def test_a_method_is_there_before_its_first_request() -> None:
    process = ProcessCounters()
    server = begun(process)
    assert process.snapshot().served["desk.work"].started == 0
    del server


def test_what_a_server_counted_stays_when_it_has_ended_and_when_it_is_gone() -> None:
    process = ProcessCounters()
    server = begun(process)
    server.work()
    server.queues = []  # it has ended
    served = process.snapshot().served["desk.work"]
    assert (served.handled, served.running, served.concurrency) == ({OK: 2}, 0, 0)
    server.work()  # a thread that nobody waited for
    assert process.snapshot().served["desk.work"].handled == {OK: 4}
    del server
    gc.collect()
    for _ in range(2):
        served = process.snapshot().served["desk.work"]
        assert (served.handled, served.running) == ({OK: 4}, 0)


def test_clients_are_summed_and_leave_their_counts() -> None:
    process = ProcessCounters()
    clients = [AClient(), AClient()]
    for client in clients:
        methods, connections = ClientMethods(), ConnectionCounters(reconnects=1, late_replies=2)
        process.add_client(client, methods, connections)
        methods.of("desk.work").started = 3
        methods.of("desk.work").answered(0.1)
    called = process.snapshot().called["desk.work"]
    assert (called.started, called.in_flight, called.handled) == (6, 4, {OK: {"yes": 2}})
    del client
    clients.pop()
    gc.collect()
    sums = process.snapshot()
    called = sums.called["desk.work"]
    assert (called.started, called.in_flight, called.handled) == (6, 2, {OK: {"yes": 2}})
    assert (sums.reconnects, sums.late_replies) == (2, 4)


def test_those_that_are_gone_are_let_go_of_though_nobody_asks() -> None:
    process = ProcessCounters()
    for _ in range(50):
        process.add_client(AClient(), ClientMethods(), ConnectionCounters(reconnects=1))
        gc.collect()
    assert len(process._counting) < 3
    assert process.snapshot().reconnects == 50


def test_a_process_that_was_forked_begins_anew() -> None:
    process = ProcessCounters()
    server = begun(process)
    server.work()
    process.forget()
    assert process.snapshot().served == {}
    process.add_server(server, (("desk.work", server.counters[0]),))
    assert process.snapshot().served["desk.work"].handled == {OK: 1}
