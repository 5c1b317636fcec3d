"""The management API is asked for queues page by page, and its refusals are errors of Leveret."""

from __future__ import annotations

import asyncio

import pytest

from leveret.cli.management import list_queues
from leveret.errors import ConnectionLost, InvalidURL, PermissionDenied
from tests.management_api import management_api


async def test_all_pages_are_read_and_only_queues_of_leveret_kept() -> None:
    async with management_api() as api:
        api.per_page = 2
        api.user = "ann:se:cret"
        api.queues["a/b"] = [
            {"name": "leveret.shop.order", "consumers": 2, "messages": 3, "messages_ready": 1},
            {"name": "others", "consumers": 0},
            {"name": "leveret.shop.close", "type": "quorum", "exclusive": False},
        ]
        url = api.url.replace("//", "//ann:se%3Acret@")
        found = await list_queues(url, "a/b", username="nobody")
        assert [queue.name for queue in found] == ["leveret.shop.order", "leveret.shop.close"]
        assert (found[0].consumers, found[0].messages, found[0].messages_ready) == (2, 3, 1)
        assert (found[1].consumers, found[1].type) == (None, "quorum")


async def test_what_goes_wrong_is_said_without_a_password() -> None:
    async with management_api() as api:
        with pytest.raises(PermissionDenied, match="refuses this user"):
            await list_queues(api.url, "/", username="guest", password="secret")
        with pytest.raises(ConnectionLost, match="answers 404"):
            await list_queues(api.url, "nothing", username="guest", password="guest")
        api.body = b"<html>"
        with pytest.raises(ConnectionLost, match="no management API answers"):
            await list_queues(api.url, "/", username="guest", password="guest")
        gone = api.url
    with pytest.raises(ConnectionLost, match="no management API answers"):
        await list_queues(gone, "/")


async def test_what_speaks_no_http_is_told_with_the_port_that_does() -> None:
    async def amqp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"AMQP\x00\x00\x09\x01")  # as RabbitMQ does, and closes
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(amqp, "localhost", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionLost, match=r"is no HTTP; give the port .* 15672"):
            await list_queues(f"http://localhost:{port}", "/")


async def test_nobody_else_gets_the_password_by_a_redirect() -> None:
    async with management_api() as api, management_api() as other:
        api.redirect = f"{other.url}/api/queues/%2F?page=1&page_size=1"
        with pytest.raises(ConnectionLost, match="answers 302, which leads elsewhere"):
            await list_queues(api.url, "/", username="guest", password="guest")
        assert (api.asked, other.asked) == (1, 0)


@pytest.mark.parametrize("url", ["", "localhost:15672", "ftp://a:secret@b/", "http://a:secret@b:c"])
async def test_another_form_of_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        await list_queues(url, "/")
    assert "secret" not in str(caught.value)
