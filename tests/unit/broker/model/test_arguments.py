from __future__ import annotations

from typing import Any

import pytest

from leveret.broker.model.argument_checks import check_consumer, check_queue
from leveret.broker.model.arguments import Arguments, Overflow, read_options, type_of
from leveret.broker.refusals import Refused


def check(durable: bool = True, exclusive: bool = False, **given: Any) -> None:
    arguments = {f"x-{name.replace('_', '-')}": value for name, value in given.items()}
    check_queue(arguments, "queue 'q'", durable=durable, exclusive=exclusive, auto_delete=False)


def test_times_are_read_in_seconds_and_the_rest_as_it_is() -> None:
    options = read_options({"x-message-ttl": 1500, "x-expires": 20, "x-max-length": 3})
    assert (options.message_ttl, options.expires, options.max_length) == (1.5, 0.02, 3)
    assert options.bounded
    assert not read_options({}).bounded


def test_a_quorum_queue_drops_its_head_instead_of_dead_lettering_what_is_new() -> None:
    given = {"x-overflow": "reject-publish-dlx"}
    assert read_options(given).overflow is Overflow.REJECT_PUBLISH_DLX
    quorum = read_options(given | {"x-queue-type": "quorum"})
    assert (quorum.overflow, quorum.quorum) == (Overflow.DROP_HEAD, True)


@pytest.mark.parametrize(("given", "limit"), [(3, 3), (0, 0), (-1, None), (None, None)])
def test_a_negative_delivery_limit_is_none(given: int | None, limit: int | None) -> None:
    assert read_options({"x-delivery-limit": given}).delivery_limit == limit


@pytest.mark.parametrize(
    ("count", "size", "exceeded"), [(2, 10, False), (3, 1, True), (1, 11, True)]
)
def test_length_and_bytes_are_both_limits(count: int, size: int, exceeded: bool) -> None:
    options = read_options({"x-max-length": 2, "x-max-length-bytes": 10})
    assert options.exceeded_by(count, size) is exceeded


def test_the_type_of_an_argument_is_that_on_the_wire_where_it_is_known() -> None:
    wired = Arguments({"a": 1})
    values: tuple[Any, ...] = (1, True, "x", 1.0, [], {}, None)
    wired.types = {"a": "unsignedshort"}
    assert type_of(wired, "a") == "unsignedshort"
    assert [type_of({"a": value}, "a") for value in values] == [
        "long", "bool", "longstr", "double", "array", "table", "void",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"message_ttl": -1}, "{value_negative,-1}"),
        ({"expires": 0}, "{value_zero,0}"),
        ({"message_ttl": 10**12}, "{value_too_large,1000000000000}"),
        ({"message_ttl": "1"}, '"expected integer, got longstr"'),
        ({"max_length": True}, '"expected integer, got bool"'),
        ({"max_priority": 256}, "{max_value_exceeded,256}"),
        ({"overflow": "no"}, "invalid_overflow"),
        ({"overflow": 1}, "{unacceptable_type,long}"),
        ({"queue_mode": "no"}, "\"unsupported queue mode 'no'\""),
        ({"queue_type": "no"}, "\"unsupported queue type 'no'\""),
        ({"queue_version": 3}, "\"unsupported queue version '3'\""),
        ({"dead_letter_routing_key": "k"}, "routing_key_but_no_dlx_defined"),
        ({"dead_letter_exchange": 1}, "invalid type 'long' for arg 'x-dead-letter-exchange'"),
        ({"single_active_consumer": 1}, "{unacceptable_type,long}"),
        ({"delivery_limit": 1}, "of queue type rabbit_classic_queue"),
        ({"queue_type": "quorum", "max_priority": 1}, "of queue type rabbit_quorum_queue"),
        ({"queue_type": "quorum", "exclusive": True}, "invalid property 'exclusive-owner'"),
        ({"queue_type": "quorum", "durable": False}, "invalid property 'non-durable'"),
        ({"queue_type": "stream"}, "NOT_IMPLEMENTED - the embedded broker has no streams"),
    ],
)
def test_an_argument_that_is_wrong_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused) as refused:
        check(**given)
    assert why in str(refused.value)


def test_arguments_that_rabbitmq_does_not_know_are_taken_as_they_are() -> None:
    check(of_no_meaning=object(), max_length=0, queue_type="classic")


@pytest.mark.parametrize(
    ("arguments", "quorum", "why"),
    [
        ({"x-priority": "1"}, False, "expected integer, got longstr"),
        ({"x-stream-offset": 1}, False, "of queue type rabbit_classic_queue"),
        ({"x-cancel-on-ha-failover": True}, True, "of queue type rabbit_quorum_queue"),
        ({"x-cancel-on-ha-failover": 1}, False, "unacceptable_type,long"),
    ],
)
def test_a_consumers_arguments_are_checked_as_well(
    arguments: dict[str, Any], quorum: bool, why: str
) -> None:
    with pytest.raises(Refused, match=why):
        check_consumer(arguments, "queue 'q'", quorum=quorum)
    check_consumer({"x-priority": -1, "x-other": 1}, "queue 'q'", quorum=quorum)
