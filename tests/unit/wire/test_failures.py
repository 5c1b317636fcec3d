"""Errors as bodies of replies: whatever a server sends, the caller gets an error of ours."""

from __future__ import annotations

import msgspec
import pytest

from leveret import Cancelled, DeclaredError, RemoteError
from leveret.wire.failures import (
    Unconfirmed,
    as_declared,
    decode_failure,
    encode_failure,
    executed_if_unconfirmed,
    misfit,
)


class Even(msgspec.Struct):
    n: int

    def __post_init__(self) -> None:
        if self.n % 2:
            raise KeyError(self.n)


class Unshowable(msgspec.Struct):
    n: int

    def __repr__(self) -> str:
        raise RuntimeError("nothing to show")


class Fussy(DeclaredError):
    """Its fields run code of their own as they are read."""

    even: Even | None = None
    hidden: Unshowable | None = None


@pytest.mark.parametrize("field", ["even", "hidden"])
def test_a_field_whose_own_code_fails_is_an_error_of_ours(field: str) -> None:
    body = msgspec.json.encode({"code": "FUSSY", "message": "m", "data": {field: {"n": 3}}})
    error = decode_failure(body, {"FUSSY": Fussy}, "shop.buy")
    assert isinstance(error, RemoteError)
    assert "its fields do not fit Fussy" in str(error)
    assert (error.code, error.data, error.method) == ("FUSSY", {field: {"n": 3}}, "shop.buy")


class Gone(DeclaredError):
    """It is gone."""

    sku: str
    left: float = 0.0


class SoldToAFriend(Gone):
    """A friend has it."""

    friend: str = "Ann"


def test_args_are_the_values_of_the_fields_wherever_the_error_comes_from() -> None:
    error = SoldToAFriend("carrot", friend="Eve")
    assert error.args == ("carrot", 0.0, "Eve")
    known = as_declared(error, {"GONE": Gone})
    assert known is not None
    assert known.args == ("carrot", 0.0)
    assert decode_failure(encode_failure(known), {"GONE": Gone}, "shop.buy").args == known.args


def test_an_unconfirmed_call_is_a_cancelled_one_to_its_caller() -> None:
    body = encode_failure(Unconfirmed("its caller says nothing", executed="no"))
    assert executed_if_unconfirmed(body) == "no"
    arrived = decode_failure(body, {}, "shop.buy")
    assert (type(arrived), arrived.message) == (Cancelled, "its caller says nothing")
    assert arrived.executed == "no"


@pytest.mark.parametrize(
    "body", [None, b"", b"{", b"[]", b"\xff", encode_failure(Cancelled("by its caller"))]
)
def test_what_does_not_say_so_is_not_unconfirmed(body: bytes | None) -> None:
    assert executed_if_unconfirmed(body) is None


def test_a_message_that_is_cut_says_so() -> None:
    error = RemoteError("x" * 10_000, remote_traceback="y" * 100_000)
    arrived = decode_failure(encode_failure(error), {}, "shop.buy")
    assert isinstance(arrived, RemoteError)
    assert arrived.message.endswith("x... (cut; it has 10000 characters)")
    assert "(cut; it has 100000 characters)" in arrived.remote_traceback


class Careless(Gone):
    """Forgets what its base needs."""

    def __init__(self) -> None:
        pass


def test_fields_that_do_not_fit_are_told() -> None:
    assert misfit(Gone("a", 1.5)) == ""
    assert misfit(Gone(b"a")) == "Expected `str`, got `bytes` - at `$.sku`"  # type: ignore[arg-type]
    assert misfit(Gone("a", float("nan"))).startswith("JSON cannot carry nan")
    error = Gone("a")
    error.left = "many"  # type: ignore[assignment]
    assert misfit(error) == "Expected `float`, got `str` - at `$.left`"
    assert "'Careless' object has no attribute" in misfit(Careless())


def test_an_error_is_known_by_the_nearest_class_that_is_declared() -> None:
    friend = SoldToAFriend("a", 2.0)
    raises = {"GONE": Gone}
    known = as_declared(friend, raises)
    assert type(known) is Gone
    assert (known.sku, known.left, known.message) == ("a", 2.0, friend.message)
    assert as_declared(friend, raises | {"SOLD_TO_A_FRIEND": SoldToAFriend}) is friend
    assert as_declared(Fussy(), raises) is None
    assert as_declared(Careless(), raises) is None


def test_what_cannot_be_encoded_is_left_out_and_said() -> None:
    told = msgspec.json.decode(encode_failure(Gone(b"a")))  # type: ignore[arg-type]
    assert "data" not in told
    assert "(its fields cannot be encoded: Expected `str`, got `bytes`" in told["message"]
    sent = encode_failure(RemoteError("m", data={"n": 10**5_000}))
    assert b"its fields cannot be encoded" in sent
