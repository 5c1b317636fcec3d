"""The times of both ends fit together."""

from __future__ import annotations

from leveret.transport.deadlines import TICK
from leveret.wire import timing


def test_a_server_announces_a_call_before_its_client_takes_it_for_lost() -> None:
    latest_notice = 2 * timing.ANNOUNCE_AFTER
    assert latest_notice < timing.PROBE_AFTER + timing.QUERY_ANSWERED_WITHIN


def test_the_reply_that_tells_where_a_call_was_comes_before_its_client_gives_up() -> None:
    assert timing.REPLY_GRACE + TICK < timing.LATEST_END


def test_a_call_ends_within_the_promised_time_after_its_deadline() -> None:
    assert timing.LATEST_END + TICK < timing.PROMISED_END


def test_no_call_of_a_tenth_of_a_second_is_probed_before_the_earliest_no_server() -> None:
    assert min(timing.PROBE_AFTER, 0.1 / 2) >= timing.NO_SERVER_EARLIEST


def test_a_deleted_queue_is_given_up_only_after_several_probes() -> None:
    assert timing.DECLARED_AGAIN_WITHIN >= 4 * timing.PROBE_AFTER


def test_a_notice_is_trusted_for_longer_than_the_server_takes_to_repeat_it() -> None:
    assert timing.NOTICE_TRUSTED_FOR > timing.PROBE_AFTER + timing.QUERY_ANSWERED_WITHIN


def test_a_reply_queue_outlives_the_time_in_which_servers_return() -> None:
    assert timing.REPLY_QUEUE_LIVES > timing.SERVERS_RETURN_WITHIN
