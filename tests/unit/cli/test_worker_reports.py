"""What workers say of themselves, added up."""

from __future__ import annotations

from leveret.cli.serving.request import Report
from leveret.cli.serving.worker_reports import WorkerReports
from leveret.observe import OK, ServerCounters, Snapshot


class AWorker:
    """Serves, answers and counts as it is told."""

    def __init__(self, number: int = 1) -> None:
        self.number = number
        self.serves = True
        self.has_ended = False
        self.answers = True
        self.unready = ""
        self.counters = ServerCounters()
        self.report: Report | None = None

    def __str__(self) -> str:
        return f"worker {self.number}"

    def work(self) -> None:
        self.counters.started += 1
        self.counters.ended(OK, "", 1.0, 0.1, 0.1, 1, 1)

    async def ask(self, _seconds: float) -> bool:
        if self.answers:
            self.say()
        return self.answers

    def say(self) -> None:
        snapshot = Snapshot()
        served = snapshot.served_of("desk.work")
        served.count(self.counters)
        served.concurrency = 10
        self.report = Report(unready=self.unready, snapshot=snapshot)


def two() -> tuple[WorkerReports, AWorker, AWorker]:
    reports, one, other = WorkerReports(2), AWorker(1), AWorker(2)
    reports.add(one)
    reports.add(other)
    return reports, one, other


async def shown(reports: WorkerReports) -> list[str]:
    """What is handled, and how many places there are."""
    text, _ = (await reports.exposition())("")
    lines = text.decode().splitlines()
    wanted = ('leveret_server_handled_total{code="OK"', "leveret_server_concurrency{")
    return [line.rpartition(" ")[2] for name in wanted for line in lines if line.startswith(name)]


async def test_workers_are_added_up() -> None:
    reports, one, other = two()
    one.work()
    other.work()
    assert await shown(reports) == ["2.0", "20.0"]


async def test_what_a_worker_counted_stays_when_it_has_ended_and_its_places_go() -> None:
    reports, one, other = two()
    one.work()
    other.work()
    one.say()  # its last words
    reports.discard(one)
    reports.discard(one)
    assert await shown(reports) == ["2.0", "10.0"]
    reports.add(third := AWorker(1))
    third.work()
    assert await shown(reports) == ["3.0", "20.0"]


async def test_a_worker_that_does_not_answer_counts_as_it_did() -> None:
    reports, one, _ = two()
    one.work()
    assert await shown(reports) == ["1.0", "20.0"]
    one.answers = False
    assert await shown(reports) == ["1.0", "20.0"]
    reports.discard(one)  # it was killed
    assert await shown(reports) == ["1.0", "10.0"]


async def test_a_worker_that_never_said_anything_leaves_nothing() -> None:
    reports, one, _ = two()
    one.answers = False
    reports.discard(one)
    assert await shown(reports) == ["0.0", "10.0"]


async def test_all_workers_are_ready_or_it_is_said_who_is_not() -> None:
    reports, one, other = two()
    health = await reports.health()
    assert (health.dead, health.unready) == ([], [])
    one.unready = "draining"
    other.serves = False
    health = await reports.health()
    assert health.dead == []
    assert health.unready == [
        "0 of 2 workers are ready",
        "worker 1: draining",
        "worker 2: starting",
    ]
    reports.discard(other)
    assert (await reports.health()).unready[0] == "0 of 2 workers are ready"


async def test_a_worker_whose_loop_stands_still_is_dead_and_one_that_starts_is_not() -> None:
    reports, one, other = two()
    one.answers = other.answers = other.serves = False
    health = await reports.health()
    assert health.dead == ["worker 1: no answer within 2 s"]
    assert len(health.unready) == 3


async def test_a_worker_that_has_ended_is_not_one_that_does_not_answer() -> None:
    reports, one, _ = two()
    one.answers, one.has_ended = False, True
    health = await reports.health()
    assert health.dead == []
    assert health.unready == ["1 of 2 workers are ready", "worker 1: ended"]


async def test_workers_with_outdated_code_that_drain_do_no_harm() -> None:
    reports, _, _ = two()
    reports.add(old := AWorker(1))
    old.unready = "draining"
    assert (await reports.health()).unready == []
