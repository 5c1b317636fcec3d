"""The code of an error named with an acronym, between versions of Leveret.

`HTTPError` once had the code `HTTPERROR`, in Python and on the wire. In Python it is `HTTP_ERROR`.
"""

from __future__ import annotations

import json

import pytest

from leveret import ContractError, DeclaredError, RemoteError, Service, method
from leveret.contract import method_schema, spec_of
from leveret.wire.failures import decode_failure, encode_failure


class HTTPError(DeclaredError):
    """The other side says no."""

    status: int


class Named(DeclaredError, code="HTTPNAMED"):
    """Its code is its author's."""


RAISES = {HTTPError.code: HTTPError, Named.code: Named}


def test_an_acronym_is_one_word_in_the_code() -> None:
    assert HTTPError.code == HTTPError(status=404).code == "HTTP_ERROR"
    assert Named.code == "HTTPNAMED"


def test_a_client_of_before_understands_a_server_of_now() -> None:
    body = json.loads(encode_failure(HTTPError(status=404)))
    assert body["code"] == "HTTPERROR"  # all that such a client looks for in its own contract
    assert body["data"] == {"status": 404}


@pytest.mark.parametrize("code", ["HTTPERROR", "HTTP_ERROR"])
def test_a_client_of_now_understands_a_server_of_before_and_one_to_come(code: str) -> None:
    body = json.dumps({"code": code, "message": "no", "data": {"status": 404}}).encode()
    error = decode_failure(body, RAISES, "web.get")
    assert isinstance(error, HTTPError)
    assert (error.status, error.code) == (404, "HTTP_ERROR")


def test_a_given_code_is_sent_as_it_is() -> None:
    assert json.loads(encode_failure(Named()))["code"] == "HTTPNAMED"
    assert isinstance(decode_failure(encode_failure(Named()), RAISES, "web.get"), Named)


def test_a_code_of_nobody_stays_a_remote_error() -> None:
    error = decode_failure(b'{"code":"HTTP_NAMED","message":"no"}', RAISES, "web.get")
    assert isinstance(error, RemoteError)
    assert error.code == "HTTP_NAMED"


def test_a_schema_names_the_code_that_is_sent() -> None:
    class Web(Service):
        @method(raises=[HTTPError])
        async def get(self) -> None: ...

    assert list(method_schema(spec_of(Web).methods["get"])["errors"]) == ["HTTPERROR"]


def test_two_errors_of_a_method_share_no_code_of_any_version() -> None:
    class Other(DeclaredError, code="HTTPERROR"):
        """It takes the code of before."""

    with pytest.raises(ContractError, match="both with the code HTTPERROR"):

        class Web(Service):
            @method(raises=[HTTPError, Other])
            async def get(self) -> None: ...


def test_a_code_in_the_body_is_refused_as_nothing_reads_it() -> None:
    with pytest.raises(ContractError, match=r"Gone: .*class Gone\(DeclaredError, code=.NO_MORE.\)"):

        class Gone(DeclaredError):
            """It is gone."""

            code = "NO_MORE"

    class SoldOut(DeclaredError):
        """It is sold out."""

        code = "SOLD_OUT"  # as it is anyway

    assert SoldOut().code == "SOLD_OUT"


def test_a_code_is_text() -> None:
    with pytest.raises(ContractError, match="Gone: its code is 3; write text"):

        class Gone(DeclaredError, code=3):  # type: ignore[arg-type]
            """It is gone."""
