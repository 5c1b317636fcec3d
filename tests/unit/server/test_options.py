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


@pytest.mark.parametrize("concurrency", [0, 65_536, "4", True, 2.5])
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


@pytest.mark.parametrize("grace", ["30", -1, math.nan, 10**400, True, None, []])
def test_a_grace_that_is_no_time_is_refused(grace: Any) -> None:
    assert [ServeOptions.of(grace=good).grace for good in (0, 2.5, math.inf)] == [0, 2.5, math.inf]
    with pytest.raises(ContractError, match="grace must be a number of seconds, 0 or more; got "):
        ServeOptions.of(grace=grace)


@pytest.mark.parametrize("flag", ["send_tracebacks", "access_log"])
@pytest.mark.parametrize("wrong", ["no", 0, 1, None])
def test_what_is_neither_yes_nor_no_is_refused(flag: str, wrong: Any) -> None:
    given: dict[str, Any] = {flag: wrong}
    with pytest.raises(ContractError, match=f"{flag} must be True or False; got {wrong!r}"):
        ServeOptions.of(**given)


class Counts:
    async def __call__(self, call: Any, call_next: Any) -> Any: ...


@pytest.mark.parametrize(
    ("middleware", "message"),
    [
        (None, "got None"),
        (5, "got 5"),
        ([Counts(), "counts"], "got 'counts' in it"),
        ([Counts], "got the class Counts in it, not an instance of it"),
        (Counts(), "got <.*Counts object .*>, which is no list"),
    ],
)
def test_what_is_no_middleware_is_refused(middleware: Any, message: str) -> None:
    with pytest.raises(ContractError, match=f"middleware must be a list of functions.*{message}"):
        ServeOptions.of(middleware=middleware)


@pytest.mark.parametrize("plain", ["a.b", 5, ["q"], {5: "a.b"}, {"": "a.b"}, {"q": 5}, {"q": None}])
def test_what_names_no_plain_queue_is_refused(plain: Any) -> None:
    with pytest.raises(ContractError, match=r"plain.* must be .*; got "):
        ServeOptions.of(plain=plain)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"durable": "no"}, "durable is 'no'; it is True or False"),
        ({"auto_delete": None}, "auto_delete is None; it is True or False"),
        ({"arguments": ["x-queue-type"]}, "arguments is .*; it is a mapping, or None for none"),
        ({"failed": "drop"}, "failed is 'drop'; it is one of text, empty, dead-letter"),
    ],
)
def test_a_plain_queue_that_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=f"PlainQueue: {message}"):
        PlainQueue(method="a.b", **wrong)


def test_the_name_of_a_plain_queue_fits_into_amqp() -> None:
    with pytest.raises(ContractError, match="plain must be text of 1 to 255 bytes; got 'qqq"):
        ServeOptions.of(plain={"q" * 256: "a.b"})


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan, True, "1", 10**400])
def test_what_a_watchdog_cannot_wait_for_is_refused(seconds: Any) -> None:
    with pytest.raises(ContractError, match=r"blocked_after must be .* None for no watchdog"):
        ServeOptions.of(blocked_after=seconds)
