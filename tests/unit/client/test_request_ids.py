"""The ids of one call's requests."""

from __future__ import annotations

from itertools import count, islice

from leveret.client.request_ids import RequestIds, ids_within, within_call


def test_all_begin_with_the_id_of_the_call() -> None:
    assert list(islice(RequestIds("a"), 3)) == ["a", "a.2", "a.3"]
    assert next(RequestIds("a", sent=1)) == "a.2"


def test_a_call_keeps_its_ids_through_calls_that_its_middleware_makes() -> None:
    numbers = count(1)

    def new_id() -> str:
        return f"new-{next(numbers)}"

    with within_call("a"):
        assert next(ids_within("a", new_id)) == "a"
        with within_call("b"):
            assert next(ids_within("b", new_id)) == "b"
        assert next(ids_within("a", new_id)) == "a.2"
        assert next(ids_within("made up", new_id)) == "new-1"
    assert next(ids_within("a", new_id)) == "new-2"
