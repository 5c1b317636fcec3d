"""Errors as bodies of replies: whatever a server sends, the caller gets an error of ours."""

from __future__ import annotations

import msgspec
import pytest

from leveret import DeclaredError, RemoteError
from leveret.wire.failures import decode_failure


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
