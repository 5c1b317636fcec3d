"""Tests of the API with the service it calls, over the embedded broker."""

import httpx
import pytest
from library import Library
from library_api import make_app

from leveret import Rabbit

pytestmark = pytest.mark.asyncio


def client_of_app(rabbit: Rabbit) -> httpx.AsyncClient:
    """A client of the app, whose connection is that of the test."""
    transport = httpx.ASGITransport(make_app(rabbit))  # type: ignore[arg-type]  # types of its own
    return httpx.AsyncClient(transport=transport, base_url="http://library")


async def test_a_book_is_added_and_found(leveret_client: Rabbit) -> None:
    book = {"isbn": "9780099528", "title": "Watership Down"}
    async with leveret_client.serving(Library()), client_of_app(leveret_client) as http:
        assert (await http.post("/books", json=book)).status_code == 201
        assert (await http.get("/books/9780099528")).json() == book


async def test_a_book_that_is_not_there(leveret_client: Rabbit) -> None:
    async with leveret_client.serving(Library()), client_of_app(leveret_client) as http:
        answer = await http.get("/books/1")
    assert answer.status_code == 404
    assert answer.json()["data"] == {"isbn": "1"}


async def test_nobody_serves(leveret_client: Rabbit) -> None:
    async with client_of_app(leveret_client) as http:
        answer = await http.get("/books/1")
    assert answer.status_code == 501
    assert answer.json()["detail"] == "There is no such service."


async def test_it_lives_and_is_ready(leveret_client: Rabbit) -> None:
    async with client_of_app(leveret_client) as http:
        assert (await http.get("/health/livez")).json() == {"status": "alive", "why": []}
        assert (await http.get("/health/readyz")).json() == {"status": "ready", "why": []}
