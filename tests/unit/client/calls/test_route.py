from __future__ import annotations

from math import inf

import pytest
from msgspec import structs

from leveret.client.calls.route import BESIDE, Finding, QueueState, Route
from tests.unit.client.calls.making import found


def a_route() -> Route:
    return Route("gate.once", "leveret.gate.once", "gate")


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (found(state=QueueState.MISSING), "its queue does not exist (any more)"),
        (found(state=QueueState.DOWN), "its queue is on a node of the broker that is down"),
        (found(0, 2), "no server listens, 2 requests waiting in its queue"),
        (found(1, 1), "1 server listens, 1 request waiting in its queue"),
        (found(3, 0), "3 servers listen, 0 requests waiting in its queue"),
        (found(state=QueueState.UNKNOWN), ""),
    ],
)
def test_a_finding_is_told_in_words(finding: Finding, words: str) -> None:
    assert finding.in_words == words


def test_nothing_is_known_of_a_new_route() -> None:
    route = a_route()
    assert route.finding.state is QueueState.UNKNOWN
    assert route.server_seen_at == route.backlog.asked_at == route.change.found_at == -inf


def test_a_probe_is_under_way_until_it_is_answered() -> None:
    route = a_route()
    route.asked(3.0)
    assert (route.is_probed, route.asked_at) == (True, 3.0)
    route.answered()
    assert (route.is_probed, route.asked_at) == (False, 3.0)
    route.connection_changed()
    assert route.asked_at == -inf


def test_an_answer_that_comes_after_that_of_a_later_probe_tells_only_who_was_there() -> None:
    route = a_route()
    later = found(0, 2, at=5.0)
    route.probed(later)
    route.probed(found(1, 0, at=4.0))
    assert route.finding is later
    assert route.server_seen_at == 4.0
    assert route.change.found_at == -inf


def test_a_server_may_have_been_there_unseen_beside_whose_calls_no_probe_was_asked() -> None:
    route = a_route()
    route.sent_unseen(1.0)
    route.sent_unseen(1.02)
    assert route.probe_sent(1.0 + BESIDE / 2) == 1.0
    assert route.unwatched_until == -inf
    route.sent_unseen(2.0)
    route.sent_unseen(2.0 + BESIDE)
    assert route.probe_sent(2.1 + BESIDE) == inf  # it is the first of them that counts
    assert route.unwatched_until == 2.1 + BESIDE
    assert route.probe_sent(9.0) == inf  # beside no call
    assert route.unwatched_until == 2.1 + BESIDE
    route.not_answered(10.0)
    assert route.unwatched_until == 10.0


def test_servers_are_those_of_a_call_if_there_were_as_many_when_they_were_last_counted() -> None:
    route = a_route()
    route.found_same(1.0, 9.0, 2)
    assert not route.are_those_of(5.0)  # nobody has counted them
    route.probed(found(2, at=2.0))
    assert route.are_those_of(5.0)
    assert not route.are_those_of(1.5)
    route.probed(found(3, at=4.0))
    assert route.are_those_of(3.9)
    assert not route.are_those_of(5.0)  # one of the three has gone since
    route.probed(found(2, at=6.0))
    assert route.are_those_of(6.0)
    route.found_same(6.1, 9.0, 2)
    assert not route.are_those_of(7.0)  # one came after they were counted, and one may have gone


def test_a_probe_beside_a_call_counts_the_servers_that_can_have_taken_it() -> None:
    route = a_route()
    route.probed(found(1, at=1.0))
    beside = structs.replace(found(2, at=2.001), covers_since=2.0)
    route.probed(beside)
    route.found_same(2.0, 9.0, 2)
    assert route.are_those_of(2.0)
    route.found_same(2.0005, 9.0, 2)  # it came after the call
    assert not route.are_those_of(2.0)
    assert not route.are_those_of(1.9)


def test_of_many_counts_every_second_one_goes_and_the_last_ones_stay() -> None:
    route = a_route()
    for n in range(1000):
        route.probed(found(1, at=float(n)))
    route.found_same(0.0, 2000.0, 1)
    assert len(route.counts) <= 64
    assert route.counts[-1].asked_at == 999.0
    assert route.counts[0].asked_at < 100.0
    assert route.are_those_of(500.0)


def test_a_reply_and_a_probe_that_finds_a_consumer_tell_of_a_server() -> None:
    route = a_route()
    route.heard(1.0)
    assert route.server_seen_at == 1.0
    route.probed(found(0, 5, at=2.0))
    assert route.server_seen_at == 1.0
    route.probed(found(1, at=3.0))
    assert route.server_seen_at == 3.0


def test_a_backlog_is_two_findings_of_as_many_servers_the_first_of_which_found_requests() -> None:
    route = a_route()
    route.probed(found(2, 1, at=1.0))
    route.probed(found(1, 1, at=2.0))
    assert route.backlog.asked_at == -inf  # a server has died
    route.probed(found(1, 0, at=3.0))
    assert route.backlog.asked_at == 2.0
    route.probed(found(1, 0, at=4.0))
    assert route.backlog.asked_at == 2.0  # no request waited at 3.0


def test_another_number_of_servers_is_a_change_and_the_first_finding_is_none() -> None:
    route = a_route()
    route.probed(found(1, at=1.0))
    assert route.change.found_at == -inf
    route.probed(found(1, at=2.0))
    assert route.change.found_at == -inf
    route.probed(found(2, at=3.0))
    assert route.change.found_at == 3.0


def test_a_queue_without_its_node_has_no_servers() -> None:
    route = a_route()
    route.probed(found(1, at=1.0))
    route.probed(found(at=2.0, state=QueueState.DOWN))
    assert route.change.found_at == -inf
    route.probed(found(1, at=3.0))
    assert route.change.found_at == route.recovery.found_at == 3.0
    route.probed(found(1, at=4.0))
    assert route.recovery.found_at == 3.0


def test_a_contract_says_whether_the_queue_is_bounded() -> None:
    route = Route("gate.once", "leveret.gate.once")
    assert route.limited is None
    route.described(limited=True)
    assert route.limited
