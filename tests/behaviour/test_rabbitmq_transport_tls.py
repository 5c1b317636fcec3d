"""TLS with a real RabbitMQ: who is trusted, who is not, and logins by certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
import trustme

import leveret
from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.errors import CallError, ConnectionLost, PermissionDenied, Unauthenticated
from leveret.testing import RabbitMQUnavailable, TLSFiles
from leveret.transport.connection import Connection
from leveret.transport.opening import open_connection
from leveret.transport.url import parse_url
from tests.behaviour.patience import PATIENCE, at_once
from tests.behaviour.services import Echo
from tests.behaviour.test_identity import Door
from tests.rabbitmq.broker import RabbitMQ

pytestmark = pytest.mark.xdist_group("tls")  # one broker for all, with --dist loadgroup

CLIENT = "leveret-client"
LARGE = 16 * 1024 * 1024
"""Bytes: what RabbitMQ 4 takes at most by default; 3 takes 128 MB."""


class Papers:
    """Certificates made for these tests, as PEM files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = trustme.CA()
        self.ca = self._write("ca", self.authority.cert_pem)
        self.other_ca = self._write("other-ca", trustme.CA().cert_pem)
        self.broker = self.issue("localhost")

    def issue(self, name: str, authority: trustme.CA | None = None) -> Path:
        """A certificate with its key."""
        issued = (authority or self.authority).issue_cert(name, common_name=name)
        return self._write(name, issued.private_key_and_cert_chain_pem)

    def _write(self, name: str, blob: trustme.Blob) -> Path:
        path = self._folder / f"{name}.pem"
        blob.write_to_path(str(path))
        return path


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def broker(papers: Papers) -> Iterator[RabbitMQ]:
    """A broker that only these tests use."""
    files = TLSFiles(cafile=papers.ca, certfile=papers.broker, keyfile=papers.broker)
    with RabbitMQ(tls=files) as broker:
        broker.evaluate(f'rabbit_auth_backend_internal:add_user(<<"{CLIENT}">>, <<"x">>, <<"t">>)')
        allowed = ", ".join(['<<".*">>'] * 3)
        broker.evaluate(
            f'rabbit_auth_backend_internal:set_permissions(<<"{CLIENT}">>, <<"/">>, {allowed},'
            ' <<"t">>)'
        )
        yield broker


def url(broker: RabbitMQ, host: str = "localhost", **options: object) -> str:
    """The broker's amqps URL with these options."""
    parts = urlsplit(broker.tls_url)
    query = urlencode({name: str(value) for name, value in options.items()})
    return parts._replace(netloc=f"guest:guest@{host}:{parts.port}", query=query).geturl()


def external(broker: RabbitMQ, papers: Papers, certificate: Path) -> str:
    """The URL of a login by this certificate."""
    return url(broker, cacertfile=papers.ca, certfile=certificate, auth_mechanism="external")


async def opened(url: str) -> Connection:
    return await open_connection(parse_url(url), name="a test", max_message_size=LARGE)


async def failure(url: str) -> CallError:
    async with at_once():
        with pytest.raises(CallError) as raised:
            await opened(url)
    assert raised.value.executed == "no"
    return raised.value


async def works(url: str) -> str:
    """The version of TLS that a connection got, with which a call is answered."""
    connection = await opened(url)
    channel = await connection.open_channel()
    await channel.declare_queue("", exclusive=True)
    assert connection._transport is not None
    version: str = connection._transport.get_extra_info("ssl_object").version()
    await connection.close()
    return version


# -- is it the broker? -----------------------------------------------------------------------------


async def test_a_broker_with_a_certificate_of_a_trusted_authority_is_taken(
    broker: RabbitMQ, papers: Papers
) -> None:
    assert (await works(url(broker, cacertfile=papers.ca))).startswith("TLSv1.")


async def test_the_certificate_must_come_from_a_trusted_authority(
    broker: RabbitMQ, papers: Papers
) -> None:
    for address in (url(broker), url(broker, cacertfile=papers.other_ca)):
        error = await failure(address)
        assert isinstance(error, ConnectionLost)
        assert "certificate verify failed" in str(error)
        assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


async def test_the_certificate_must_be_for_the_host_of_the_url(
    broker: RabbitMQ, papers: Papers
) -> None:
    error = await failure(url(broker, "127.0.0.1", cacertfile=papers.ca))
    assert isinstance(error, ConnectionLost)
    assert "not valid for '127.0.0.1'" in str(error)


async def test_the_name_to_look_for_can_be_given(broker: RabbitMQ, papers: Papers) -> None:
    ca = papers.ca
    named = url(broker, "127.0.0.1", cacertfile=ca, server_name_indication="localhost")
    assert await works(named)
    other = url(broker, cacertfile=ca, server_name_indication="rabbit.example")
    assert "not valid for 'rabbit.example'" in str(await failure(other))


async def test_verification_can_be_turned_off(broker: RabbitMQ) -> None:
    assert await works(url(broker, "127.0.0.1", verify="verify_none"))


async def test_the_wrong_one_of_two_ports_is_told_apart(broker: RabbitMQ, papers: Papers) -> None:
    plain, tls = broker.port, urlsplit(broker.tls_url).port
    assert tls is not None
    error = await failure(f"amqp://guest:guest@localhost:{tls}/?connection_timeout=2000")
    assert isinstance(error, ConnectionLost)
    assert "it speaks TLS; begin the URL with amqps://" in str(error)
    error = await failure(f"amqps://guest:guest@localhost:{plain}/?connection_timeout=2000")
    assert isinstance(error, ConnectionLost)
    assert isinstance(error.__cause__, ssl.SSLError)


def test_a_broker_without_tls_says_so(rabbitmq: RabbitMQ) -> None:
    with pytest.raises(RabbitMQUnavailable, match="TLS"):
        _ = rabbitmq.tls_url


# -- who is the client? ----------------------------------------------------------------------------


async def test_a_wrong_password_is_refused_over_tls_too(broker: RabbitMQ, papers: Papers) -> None:
    wrong = url(broker, cacertfile=papers.ca).replace("guest:guest@", "guest:wrong@")
    assert isinstance(await failure(wrong), Unauthenticated)


async def test_a_client_may_log_in_by_its_certificate(broker: RabbitMQ, papers: Papers) -> None:
    connection = await opened(external(broker, papers, papers.issue(CLIENT)))
    users = await asyncio.to_thread(broker.ctl, "list_connections", "user", "auth_mechanism")
    assert f"{CLIENT}\tEXTERNAL" in users
    await connection.close()


async def test_without_a_certificate_there_is_no_login_by_one(
    broker: RabbitMQ, papers: Papers
) -> None:
    error = await failure(url(broker, cacertfile=papers.ca, auth_mechanism="external"))
    assert isinstance(error, Unauthenticated)
    assert "Name one with certfile" in str(error)


async def test_a_certificate_of_a_stranger_is_no_login(broker: RabbitMQ, papers: Papers) -> None:
    error = await failure(external(broker, papers, papers.issue("a-stranger")))
    assert isinstance(error, Unauthenticated)
    assert "the login of this client's certificate" in str(error)


async def test_a_certificate_that_the_broker_does_not_trust_ends_the_connection(
    broker: RabbitMQ, papers: Papers
) -> None:
    forged = papers.issue(CLIENT, authority=trustme.CA())
    error = await failure(external(broker, papers, forged))
    assert isinstance(error, ConnectionLost)


async def test_a_vhost_that_is_not_there_is_refused_over_tls_too(
    broker: RabbitMQ, papers: Papers
) -> None:
    parts = urlsplit(url(broker, cacertfile=papers.ca))
    assert isinstance(await failure(parts._replace(path="/nowhere").geturl()), PermissionDenied)


# -- and then it is a connection like any ----------------------------------------------------------


async def test_16_mb_go_there_and_back(broker: RabbitMQ, papers: Papers) -> None:
    connection = await opened(url(broker, cacertfile=papers.ca))
    channel = await connection.open_channel()
    queue = (await channel.declare_queue("", exclusive=True)).queue or ""
    came: asyncio.Queue[Delivery] = asyncio.Queue()
    await channel.consume(queue, came.put_nowait, no_ack=True)
    body = bytes(range(256)) * (LARGE // 256)
    channel.publish("", queue, Properties(), body)
    async with asyncio.timeout(PATIENCE):
        assert (await came.get()).body == body
    await connection.close()


async def test_an_abort_leaves_no_socket(broker: RabbitMQ, papers: Papers) -> None:
    connection = await opened(url(broker, cacertfile=papers.ca))
    channel = await connection.open_channel()
    call = asyncio.create_task(channel.declare_queue("", exclusive=True))
    await asyncio.sleep(0)
    connection.abort("the test ends it")
    with pytest.raises(ConnectionLost, match="the test ends it"):
        await call
    async with asyncio.timeout(PATIENCE):
        await connection._gone


async def test_remote_calls_travel_by_tls(broker: RabbitMQ, papers: Papers) -> None:
    async with (
        leveret.connect(url(broker, cacertfile=papers.ca)) as rabbit,
        rabbit.serving(Echo()),
    ):
        assert await rabbit.remote(Echo).echo("secret") == "secret"


# -- all of it by way of leveret.connect -----------------------------------------------------------


async def test_connect_verifies_the_broker_unless_told_otherwise(
    broker: RabbitMQ, papers: Papers
) -> None:
    for address in (
        url(broker),
        url(broker, cacertfile=papers.other_ca),
        url(broker, "127.0.0.1", cacertfile=papers.ca),
    ):
        async with at_once():
            with pytest.raises(ConnectionLost, match="certificate verify failed"):
                await leveret.connect(address)
    async with leveret.connect(url(broker, "127.0.0.1", verify="verify_none")) as rabbit:
        assert rabbit.state == "connected"


async def test_whoever_logs_in_by_certificate_is_known_by_the_name_it_says(
    broker: RabbitMQ, papers: Papers
) -> None:
    address = external(broker, papers, papers.issue(CLIENT))
    async with (
        leveret.connect(address, user_id=CLIENT) as rabbit,
        rabbit.serving(Door(), allow={"*": [CLIENT]}),
        leveret.connect(url(broker, cacertfile=papers.ca)) as guest,
    ):
        assert (await rabbit.remote(Door).who())[0] == CLIENT
        with pytest.raises(PermissionDenied, match="user 'guest' may not call"):
            await guest.remote(Door).who()


async def test_whoever_logs_in_by_certificate_and_says_no_name_has_none(
    broker: RabbitMQ, papers: Papers
) -> None:
    address = external(broker, papers, papers.issue(CLIENT))
    async with (
        leveret.connect(address) as rabbit,
        leveret.connect(url(broker, cacertfile=papers.ca)) as host,
        host.serving(Door()),
    ):
        assert (await rabbit.remote(Door).who())[0] == ""


async def test_a_certificate_cannot_pass_for_another_user(broker: RabbitMQ, papers: Papers) -> None:
    address = external(broker, papers, papers.issue(CLIENT))
    async with (
        leveret.connect(url(broker, cacertfile=papers.ca)) as host,
        host.serving(Door()),
        leveret.connect(address, user_id="guest", reconnect=False) as rabbit,
    ):
        with pytest.raises(CallError, match="user_id property set to 'guest'"):
            await rabbit.remote(Door).who()
