"""Where user and password come from, that they can change, and that no password ever shows."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

import leveret
from leveret import CallError, ConnectionLost, InvalidArgument, InvalidURL, Unauthenticated
from leveret.transport.reconnect import Reconnect
from tests.behaviour.patience import PATIENCE, at_once, until
from tests.behaviour.services import Echo
from tests.behaviour.test_identity import Door
from tests.behaviour.users import Users
from tests.brokers import Broker

SOON = Reconnect(first=0.01, most=0.05)


@pytest.fixture
def users(broker: Broker) -> Users:
    return Users(broker)


@pytest.fixture
def alice(users: Users) -> str:
    """A user whose password is "secret"."""
    name = f"alice-{secrets.token_hex(4)}"
    users.add(name)
    return name


@pytest.fixture
def bare_url(broker: Broker) -> str:
    """The broker's URL without a user."""
    parts = urlsplit(broker.url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEVERET_USERNAME", "LEVERET_PASSWORD", "LEVERET_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)


async def user(url: str, **options: Any) -> str:
    """Whom a server takes for its caller."""
    async with leveret.connect(url, **options) as rabbit, rabbit.serving(Door()):
        return (await rabbit.remote(Door).who())[0]


async def failure(url: str, **options: Any) -> CallError:
    async with at_once():
        with pytest.raises(CallError) as caught:
            await leveret.connect(url, **options)
    assert caught.value.executed == "no"
    return caught.value


# -- from the environment --------------------------------------------------------------------------


async def test_user_and_password_may_stand_in_the_environment(
    bare_url: str, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVERET_USERNAME", alice)
    monkeypatch.setenv("LEVERET_PASSWORD", "secret")
    assert await user(bare_url) == alice
    monkeypatch.setenv("LEVERET_URL", bare_url)
    async with leveret.connect() as rabbit, rabbit.serving(Echo()):
        assert await rabbit.remote(Echo).echo("x") == "x"


async def test_a_password_file_is_read_at_each_connect(
    bare_url: str, alice: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("wrong")
    monkeypatch.setenv("LEVERET_USERNAME", alice)
    monkeypatch.setenv("LEVERET_PASSWORD_FILE", str(file))
    rabbit = leveret.connect(bare_url)
    with pytest.raises(Unauthenticated, match="Check LEVERET_USERNAME and LEVERET_PASSWORD_FILE"):
        await rabbit
    file.write_text("secret\n")  # editors end files with a newline
    async with rabbit:
        pass


async def test_a_password_in_the_environment_goes_with_the_user_in_the_url(
    broker: Broker, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(broker.url)
    at = parts.netloc.rpartition("@")[2]
    url = parts._replace(netloc=f"{alice}@{at}").geturl()
    monkeypatch.setenv("LEVERET_PASSWORD", "secret")
    assert await user(url) == alice
    monkeypatch.setenv("LEVERET_USERNAME", "somebody-else")  # whose password it is, then
    assert isinstance(await failure(url), Unauthenticated)


async def test_the_urls_own_password_wins(
    broker: Broker, users: Users, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVERET_USERNAME", "somebody-else")
    monkeypatch.setenv("LEVERET_PASSWORD", "of-somebody-else")
    assert await user(users.url(alice)) == alice


async def test_mistakes_in_the_environment_are_named(
    bare_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEVERET_PASSWORD_FILE", str(tmp_path / "nothing"))
    error = await failure(bare_url)
    assert isinstance(error, Unauthenticated)
    assert "nothing' cannot be read: No such file" in str(error)
    (tmp_path / "nothing").write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in str(await failure(bare_url))
    monkeypatch.setenv("LEVERET_PASSWORD", "x")
    with pytest.raises(InvalidURL, match="both LEVERET_PASSWORD and LEVERET_PASSWORD_FILE"):
        leveret.connect(bare_url)


# -- from a callable -------------------------------------------------------------------------------


async def test_a_callable_gives_user_and_password_at_once_or_awaited(
    bare_url: str, users: Users, alice: str
) -> None:
    async def later() -> tuple[str, str]:
        await asyncio.sleep(0)
        return alice, "secret"

    for credentials in (lambda: (alice, "secret"), later):
        assert await user(bare_url, credentials=credentials) == alice
        assert await user(users.url("guest", "wrong"), credentials=credentials) == alice


async def test_a_new_password_is_asked_for_at_each_reconnect(
    broker: Broker, bare_url: str, alice: str
) -> None:
    current = ["secret"]
    asked: list[str] = []

    async def credentials() -> tuple[str, str]:
        asked.append(current[0])
        return alice, current[0]

    async with (
        leveret.connect(bare_url, credentials=credentials, reconnect=SOON) as rabbit,
        rabbit.serving(Door()),
    ):
        remote = rabbit.remote(Door)
        assert (await remote.who())[0] == alice
        for password in ("rotated", "rotated again"):
            broker.change_password(alice, password)
            current[0] = password
            rabbit.calls.link.connection.abort("the test cuts it off")
            async with asyncio.timeout(PATIENCE):
                assert (await remote.with_options(timeout=PATIENCE).who())[0] == alice
    assert list(dict.fromkeys(asked)) == ["secret", "rotated", "rotated again"]


async def test_a_rotation_that_is_late_is_waited_for(
    broker: Broker, bare_url: str, alice: str
) -> None:
    """The broker has the new password before its users do: they are refused until they have it."""
    passwords = ["secret"]
    asked = 0

    def credentials() -> tuple[str, str]:
        nonlocal asked
        asked += 1
        return alice, passwords[-1]

    async with (
        leveret.connect(bare_url, credentials=credentials, reconnect=SOON) as rabbit,
        rabbit.serving(Door()),
    ):
        broker.change_password(alice, "new")
        rabbit.calls.link.connection.abort("the test cuts it off")
        await until(lambda: asked >= 3, "it is refused once, and tries again")
        passwords.append("new")
        async with asyncio.timeout(PATIENCE):
            assert (await rabbit.remote(Door).with_options(timeout=PATIENCE).who())[0] == alice


async def test_a_callable_that_fails_is_unauthenticated_with_its_cause(bare_url: str) -> None:
    def credentials() -> tuple[str, str]:
        raise OSError("the vault is sealed")

    error = await failure(bare_url, credentials=credentials)
    assert isinstance(error, Unauthenticated)
    assert "connect(credentials=...) raised OSError" in str(error)
    assert isinstance(error.__cause__, OSError)


async def test_a_callable_that_never_answers_is_given_up_in_time(bare_url: str) -> None:
    async def credentials() -> tuple[str, str]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    error = await failure(f"{bare_url}?connection_timeout=100", credentials=credentials)
    assert isinstance(error, ConnectionLost)
    assert "no credentials came in 0.1 s" in str(error)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("alice",), "it gave a tuple of str"),
        (["alice", "hunter2"], "it gave list"),
        ("alice:hunter2", "it gave str"),
        (("alice", b"hunter2"), "it gave a tuple of str, bytes"),
        (None, "it gave NoneType"),
        (("", "hunter2"), "a user name that is not possible"),
        (("a" * 256, "hunter2"), "a user name that is not possible"),
        (("alice", "hunter2\0"), "NUL"),
    ],
)
async def test_what_is_no_user_and_password_is_told_without_showing_it(
    bare_url: str, given: Any, message: str
) -> None:
    error = await failure(bare_url, credentials=lambda: given)
    assert isinstance(error, Unauthenticated)
    assert message in str(error)
    assert "hunter2" not in str(error)


async def test_a_broker_of_ones_own_asks_for_no_credentials() -> None:
    with pytest.raises(InvalidArgument, match="embedded://"):
        leveret.connect("embedded://", credentials=lambda: ("guest", "guest"))


# -- passwords do not show -------------------------------------------------------------------------


def shown(error: BaseException) -> str:
    """All that is ever shown of an error: itself, its traceback, and the variables of all frames.

    Those of the test itself are left out, which holds the password.
    """
    below = error.__traceback__.tb_next if error.__traceback__ is not None else None
    detailed = traceback.TracebackException(
        type(error), error.with_traceback(below), below, capture_locals=True
    )
    return f"{error} {error!r} {''.join(detailed.format())}"


@pytest.mark.parametrize("given_by", ["url", "environment", "file", "callable"])
async def test_no_failure_shows_the_password(
    broker: Broker,
    bare_url: str,
    given_by: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    password = f"pw-{secrets.token_hex(8)}"
    parts = urlsplit(bare_url)
    login = ""
    options: dict[str, Any] = {}
    match given_by:
        case "url":
            login = f"guest:{password}@"
        case "environment":
            monkeypatch.setenv("LEVERET_PASSWORD", password)
        case "file":
            (tmp_path / "password").write_text(password)
            monkeypatch.setenv("LEVERET_PASSWORD_FILE", str(tmp_path / "password"))
        case "callable":
            options["credentials"] = lambda: ("guest", password)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for url in (
        f"amqp://{login}{parts.netloc}{parts.path}",  # a wrong password
        f"amqp://{login}127.0.0.1:1,nowhere.invalid/",  # nobody there
        f"amqps://{login}{parts.netloc}/?connection_timeout=1000",  # no TLS there
        f"amqps://{login}{parts.netloc}/?cafile={tmp_path}/ca.pem&connection_timeout=1000",
    ):
        rabbit = leveret.connect(url, **options)
        with pytest.raises(CallError) as caught:
            await rabbit
        told = shown(caught.value)
        assert parts.netloc in told or "nowhere.invalid" in told
        for text in (told, repr(rabbit), str(rabbit), caplog.text):
            assert password not in text


async def test_a_working_connection_shows_no_password_either(
    broker: Broker, users: Users, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    alice = f"alice-{secrets.token_hex(4)}"
    password = f"pw-{secrets.token_hex(8)}"
    broker.add_user(alice, password, configure=".*", write=".*", read=".*")
    events: list[Any] = []
    async with (
        leveret.connect(
            users.url(alice, password), reconnect=SOON, on_connection=events.append
        ) as rabbit,
        rabbit.serving(Echo()) as server,
    ):
        remote = rabbit.remote(Echo)
        assert await remote.echo("x") == "x"
        link = rabbit.calls.link
        link.connection.abort("the test cuts it off")
        assert await remote.with_options(timeout=PATIENCE).echo("y") == "y"
        for thing in (rabbit, remote, server, link, link._address, link.connection, events):
            assert password not in f"{thing!r} {thing}"
    assert password not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "amqp://guest:{}@@localhost/",
        "amqp://guest:{}@localhost:port/",
        "amqp://guest:{}@localhost/?oops=1",
        "amqp://guest:{}@localhost/a/b",
        "amqp://guest:{}%@localhost/",
        "amqp://guest:{}%ff@localhost/",
        "amqp://guest:{}%00@localhost/",
        "amqp://guest:{}#@localhost/",
        "amqp://guest:{}/x@localhost/",
        "amqp://guest:{}",
        "amqp://:{}@localhost/",
        "guest:{}@localhost",
        "http://guest:{}@localhost/",
        "amqps://guest:{}@localhost/?keyfile=x",
    ],
)
def test_a_url_that_cannot_be_read_does_not_show_the_password(url: str) -> None:
    password = f"pw-{secrets.token_hex(8)}"
    with pytest.raises(InvalidURL) as caught:
        leveret.connect(url.format(password))
    told = "".join(traceback.format_exception(caught.value))
    assert password not in told


def test_tls_is_verified_unless_told_otherwise() -> None:
    from leveret.transport.tls import TLS, ssl_context

    assert ssl_context(TLS()).verify_mode is ssl.CERT_REQUIRED
    assert ssl_context(TLS()).check_hostname


async def test_a_password_that_is_no_text_is_refused_unsaid(bare_url: str, alice: str) -> None:
    error = await failure(bare_url, credentials=lambda: (alice, "sec\udcffret"))
    assert isinstance(error, Unauthenticated)
    assert "not Unicode text" in str(error)
    assert "sec" not in "".join(traceback.format_exception(error)).replace("seconds", "")
