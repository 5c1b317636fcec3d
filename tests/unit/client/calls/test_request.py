from __future__ import annotations

import pytest
from msgspec import structs

from leveret.errors import InvalidArgument
from leveret.wire.native.dialect import NativeClient
from tests.unit.client.calls.making import CHANNEL, a_pipe, a_request

HEADERS = NativeClient().headers


def test_a_request_is_packed_for_the_channel_of_now() -> None:
    request = a_request()
    other = structs.replace(CHANNEL, number=7)
    before = request.packer
    request.renew(other)
    assert request.channel is other
    assert request.packer is not before


@pytest.mark.parametrize(
    ("idempotent", "keyed", "repeatable", "needs_key"),
    [
        (False, False, False, False),
        (True, False, True, False),
        (False, True, True, True),
        (True, True, True, False),
    ],
)
def test_a_request_may_be_repeated_if_its_method_or_its_key_allows_it(
    idempotent: bool, keyed: bool, repeatable: bool, needs_key: bool
) -> None:
    request = a_request(idempotent=idempotent, keyed=keyed)
    assert (request.repeatable, request.needs_key) == (repeatable, needs_key)


def test_what_does_not_fit_into_a_frame_is_refused() -> None:
    request = a_request()
    request.check_headers(b"x" * request.packer.headers_room)
    with pytest.raises(InvalidArgument, match="must fit into one frame"):
        request.check_headers(b"x" * (request.packer.headers_room + 1))
    with pytest.raises(InvalidArgument, match="cannot be sent"):
        request.renew(structs.replace(CHANNEL, frame_max=600))


def test_a_second_attempt_says_that_it_is_one_and_is_repeatable_by_its_key() -> None:
    request = a_request(keyed=True, names_key=True, wait_for_server=True)
    again = request.again()
    assert again.headers == HEADERS(resent=True)
    assert (again.needs_key, again.names_key, again.wait_for_server) == (True, True, True)
    assert again.route is request.route


def test_a_request_of_an_idempotent_method_says_that_its_caller_waits_for_a_server() -> None:
    assert a_request(idempotent=True, wait_for_server=True).headers == HEADERS(waits=True)
    assert a_request(idempotent=True).headers == b""
    assert a_request(keyed=True, wait_for_server=True).headers == b""


def test_a_copy_says_that_it_is_one_only_where_its_key_must_see_to_it() -> None:
    own = HEADERS(metadata={"a": "b"})
    keyed, idempotent = a_request(keyed=True), a_request(idempotent=True)
    assert keyed.headers_again(own, doubtful=True, key="") == HEADERS(resent=True) + own
    assert keyed.headers_again(own, doubtful=False, key="") == own
    assert idempotent.headers_again(own, doubtful=True, key="") == own
    again = keyed.again()
    assert again.headers_again(own, doubtful=True, key="") == HEADERS(resent=True) + own


def test_a_copy_has_the_key_that_the_first_request_had() -> None:
    keyed = a_request(keyed=True)
    key = HEADERS(idempotency_key="queue/id")
    assert keyed.headers_again(b"", doubtful=False, key="queue/id") == key
    named = a_request(keyed=True, names_key=True)  # the call's own headers have it
    assert named.headers_again(b"", doubtful=False, key="queue/id") == b""


def test_a_pipe_has_a_route_for_each_stage_and_one_request() -> None:
    first = a_pipe(keyed=True).request
    assert [at.route.key for at in first.stages] == ["gate.once", "ink.do", "press.do"]
    assert [at.stage for at in first.stages] == [1, 2, 3]
    assert all(at.first is first and at.stages is first.stages for at in first.stages)
    assert first.headers == b"stages"
    assert first.again().headers == HEADERS(resent=True) + b"stages"
    assert first.again().stages[2].route is first.stages[2].route
    again = first.headers_again(b"!", doubtful=True, key="replies/1")
    key = HEADERS(idempotency_key="replies/1/1")
    assert again == b"stages" + HEADERS(resent=True) + key + b"!"


def test_a_request_outside_of_pipes_is_its_own_first() -> None:
    request = a_request()
    assert (request.first, request.stage, request.stages) == (request, 0, ())
