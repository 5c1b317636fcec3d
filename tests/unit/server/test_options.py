"""The options of `serve`: each is written once, and judged when it is given."""

from __future__ import annotations

import math
from typing import Any

import pytest

from leveret.errors import ContractError, InvalidURL
from leveret.once import MemoryOnce
from leveret.server.options import GRACE, GivenServeOptions, ServeOptions
from leveret.wire.plain_queue import PlainQueue


def test_every_option_that_can_be_given_is_in_the_record() -> None:
    assert set(ServeOptions.__struct_fields__) == set(GivenServeOptions.__annotations__)


def test_nothing_given_means_the_defaults() -> None:
    assert ServeOptions.of() == ServeOptions()
    assert ServeOptions.of().grace == GRACE
    assert ServeOptions.of(plain=None, once=None) == ServeOptions()


def test_a_plain_queue_may_be_written_as_the_method_alone() -> None:
    full = PlainQueue(method="a.b", durable=False)
    given = ServeOptions.of(plain={"one": "a.b", "other": full}).plain
    assert given == {"one": PlainQueue(method="a.b"), "other": full}
    assert [queue.has_options for queue in given.values()] == [False, True]


def test_a_store_may_be_given_by_its_url() -> None:
    assert isinstance(ServeOptions.of(once="memory").once, MemoryOnce)
    with pytest.raises(InvalidURL):
        ServeOptions.of(once="mysql://nowhere")


@pytest.mark.parametrize("once", [3, MemoryOnce, object()])
def test_what_is_no_store_is_refused(once: Any) -> None:
    with pytest.raises(ContractError, match="once must be a store"):
        ServeOptions.of(once=once)


@pytest.mark.parametrize("concurrency", [0, 65_536, "4"])
def test_a_concurrency_that_is_no_prefetch_is_refused(concurrency: Any) -> None:
    with pytest.raises(ContractError, match="it must be 1 to 65535"):
        ServeOptions.of(concurrency=concurrency)


def test_an_option_that_does_not_exist_is_a_type_error() -> None:
    unknown: dict[str, Any] = {"concurency": 4}
    with pytest.raises(TypeError, match="unexpected keyword argument 'concurency'"):
        ServeOptions.of(**unknown)


def test_a_watchdog_may_be_patient_or_not_be_there() -> None:
    assert ServeOptions.of(blocked_after=5).blocked_after == 5.0
    assert ServeOptions.of(blocked_after=None).blocked_after is None


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan, True, "1"])
def test_what_a_watchdog_cannot_wait_for_is_refused(seconds: Any) -> None:
    with pytest.raises(ContractError, match=r"blocked_after must be .* None for no watchdog"):
        ServeOptions.of(blocked_after=seconds)
