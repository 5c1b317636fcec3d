"""Class names become names on the wire by one rule."""

from __future__ import annotations

import pytest

from leveret import DeclaredError, Service, method
from leveret.contract import spec_of
from leveret.snake_case import snake_case


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Fibonacci", "fibonacci"),
        ("OutOfStock", "out_of_stock"),
        ("HTTPError", "http_error"),
        ("HTTP2Error", "http2_error"),
        ("ParseJSON", "parse_json"),
        ("OldHTTPProxy", "old_http_proxy"),
        ("A", "a"),
        ("AB", "ab"),
        ("Already_Snake", "already_snake"),
        ("Version2", "version2"),
    ],
)
def test_an_acronym_is_one_word(name: str, expected: str) -> None:
    assert snake_case(name) == expected


def test_a_service_and_an_error_of_one_name_are_spelled_alike() -> None:
    class HTTPCache(Service):
        @method
        async def get(self) -> None: ...

    class HTTPCacheError(DeclaredError):
        """It failed."""

    assert spec_of(HTTPCache).name == "http_cache"
    assert HTTPCacheError.code == "HTTP_CACHE_ERROR"
