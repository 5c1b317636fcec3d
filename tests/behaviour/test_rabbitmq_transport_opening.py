"""What RabbitMQ knows of a connection, and whom it lets in."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest

from leveret.errors import ConnectionLost, PermissionDenied, Unauthenticated
from leveret.testing import RabbitMQ
from leveret.testing.rabbitmq.ports import free_ports
from leveret.transport.connection import Connection
from leveret.transport.opening import open_connection
from leveret.transport.url import parse_url
from tests.behaviour.patience import until, until_found


@pytest.fixture
def steerable(rabbitmq: RabbitMQ, request: pytest.FixtureRequest) -> RabbitMQ:
    """The broker of this run where it is ours to steer, else one of this test's own."""
    if rabbitmq.owned:
        return rabbitmq
    own: RabbitMQ = request.getfixturevalue("own_rabbitmq")
    return own


@pytest.fixture
def vhost(steerable: RabbitMQ) -> Iterator[str]:
    name = secrets.token_hex(8)
    steerable.add_vhost(name)
    yield name
    steerable.delete_vhost(name)


async def opened(url: str, name: str = "a test") -> Connection:
    return await open_connection(parse_url(url), name=name, max_message_size=1024)


async def look(broker: RabbitMQ, expression: str) -> str:
    return await asyncio.to_thread(broker.evaluate, expression)


async def listed(broker: RabbitMQ, vhost: str) -> list[str]:
    """The connections of a vhost, as an operator sees them."""
    lines = await asyncio.to_thread(broker.ctl, "list_connections", "vhost", "client_properties")
    return [line for line in lines.splitlines() if line.startswith(vhost)]


def info(connection: Connection, item: str) -> str:
    """What gives an item of the connection's own entry in `rabbitmqctl list_connections`.

    Another connection may end while it is asked.
    """
    assert connection._transport is not None
    port = connection._transport.get_extra_info("sockname")[1]
    return (
        f"hd([V || P <- rabbit_networking:connections(), [{{peer_port, {port}}}, {{_, V}}]"
        f" <- [catch rabbit_networking:connection_info(P, [peer_port, {item}])]])"
    )


async def test_rabbitmq_shows_who_is_connected_and_what_it_can_do(
    steerable: RabbitMQ, vhost: str
) -> None:
    connection = await opened(steerable.url + vhost, "billing@office")
    (ours,) = await listed(steerable, vhost)
    assert '{"connection_name","billing@office"}' in ours
    assert '{"product","Leveret"}' in ours
    assert '{"connection.blocked",true}' in ours
    assert '{"consumer_cancel_notify",true}' in ours
    assert connection.server_properties["product"] == "RabbitMQ"
    await connection.close()
    await until_found(lambda: listed(steerable, vhost), [], "RabbitMQ forgets it")


@pytest.mark.parametrize(("wanted", "agreed"), [(7, 7), (0, 0), (600, 60)])
async def test_the_heartbeat_is_agreed_on(
    steerable: RabbitMQ, vhost: str, wanted: int, agreed: int
) -> None:
    connection = await opened(f"{steerable.url}{vhost}?heartbeat={wanted}")
    assert await look(steerable, info(connection, "timeout")) == str(agreed)
    await connection.close()


async def test_what_is_agreed_is_what_rabbitmq_offers_or_less(
    steerable: RabbitMQ, vhost: str
) -> None:
    connection = await opened(steerable.url + vhost)
    assert await look(steerable, info(connection, "frame_max")) == str(connection.frame_max)
    assert await look(steerable, info(connection, "channel_max")) == str(connection.channel_max)
    await connection.close()


@pytest.mark.parametrize("name", ["v" * 200, "a b/ü?#%"])
async def test_a_vhost_may_have_any_name(steerable: RabbitMQ, name: str) -> None:
    url = await asyncio.to_thread(steerable.add_vhost, name)
    connection = await opened(url)
    channel = await connection.open_channel()
    await channel.declare_queue("", exclusive=True)
    await connection.close()
    await asyncio.to_thread(steerable.delete_vhost, name)


async def test_a_user_without_permission_for_the_vhost_is_refused(
    steerable: RabbitMQ, vhost: str
) -> None:
    user = secrets.token_hex(4)
    await look(
        steerable, f'rabbit_auth_backend_internal:add_user(<<"{user}">>, <<"ü:@/">>, <<"t">>)'
    )
    at = f"127.0.0.1:{steerable.port}"
    with pytest.raises(PermissionDenied, match=f"user '{user}' may not use vhost '{vhost}'"):
        await opened(f"amqp://{user}:{quote('ü:@/', safe='')}@{at}/{vhost}")
    await look(steerable, f'rabbit_auth_backend_internal:delete_user(<<"{user}">>, <<"t">>)')


async def test_a_vhost_with_all_its_connections_taken_is_said_to_be_full(
    steerable: RabbitMQ, vhost: str
) -> None:
    await look(
        steerable, f'rabbit_vhost_limit:set(<<"{vhost}">>, [{{<<"max-connections">>, 0}}], <<"t">>)'
    )
    with pytest.raises(PermissionDenied, match="connection limit"):
        await opened(steerable.url + vhost)


async def test_a_refused_login_ends_the_search_through_the_hosts(rabbitmq_url: str) -> None:
    parts = urlsplit(rabbitmq_url)
    at = f"{parts.hostname}:{parts.port}"
    (dead,) = free_ports(1)
    with pytest.raises(Unauthenticated, match=f"{at}: the broker refused the login") as raised:
        await opened(f"amqp://guest:wrong@127.0.0.1:{dead},{at},127.0.0.1:{dead}{parts.path}")
    assert raised.value.executed == "no"


async def test_connections_that_rabbitmq_closes_say_why(steerable: RabbitMQ, vhost: str) -> None:
    connection = await opened(steerable.url + vhost)
    closed = await asyncio.to_thread(steerable.close_connections, "moving house", vhost=vhost)
    assert closed == 1
    await until(lambda: connection.closed is not None, "it hears of it")
    assert "CONNECTION_FORCED - moving house" in str(connection.closed)
    await connection.close()
    with pytest.raises(ConnectionLost, match="moving house"):
        await connection.open_channel()
