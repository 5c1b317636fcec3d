"""`leveret.contrib.django` in a process that has Django's settings: settings, connection, tests."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

import leveret
from leveret import Service, State, method
from leveret.contrib.django import arun, get_rabbit, uses_database
from leveret.contrib.django.settings import Settings, read_settings
from leveret.contrib.django.testing import serving


class Register(Service):
    """Has the database say who asks."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cancelled = threading.Event()

    @method
    @uses_database
    def ask(self, value: int) -> int:
        """A plain `def`, in a thread."""
        return asked(value)

    @method
    @uses_database
    async def wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def asked(value: int) -> int:
    """What the database answers; afterwards its connection is broken, unless this is mended."""
    with connection.cursor() as cursor:
        cursor.execute("select %s + 1", [value])
        (found,) = cursor.fetchone()
    assert isinstance(found, int)
    return found


@pytest.fixture(autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Django project; a process has one, once."""
    if not settings.configured:
        file = tmp_path_factory.getbasetemp() / "django.sqlite3"
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}},
            INSTALLED_APPS=["leveret.contrib.django"],
            LOGGING_CONFIG=None,
        )
        django.setup()
    yield
    connection.close()


def test_without_the_setting_all_is_as_by_default() -> None:
    assert read_settings() == Settings()
    assert run_checks() == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"URI": "amqp://localhost/"}, "unknown field `URI`"),
        ({"OPTIONS": {"timeout": 3, "tiemout": 2}}, "OPTIONS has tiemout;.* timeout"),
        ({"OPTIONS": {"url": "amqp://localhost/"}}, "OPTIONS has url"),
        ({"SERVICES": "market.services:Prices"}, "Expected `array`, got `str`"),
        ("amqp://localhost/", "Expected `object`, got `str`"),
    ],
)
def test_a_wrong_setting_is_told_where_it_is_read_and_by_manage_check(
    setting: Any, words: str
) -> None:
    with override_settings(LEVERET=setting):
        with pytest.raises(ImproperlyConfigured, match=words):
            get_rabbit()
        (found,) = run_checks()
    assert found.id == "leveret.E001"


def test_a_process_has_one_connection_until_a_test_changes_the_setting() -> None:
    first = get_rabbit()
    with override_settings(LEVERET={"URL": "amqp://elsewhere/", "OPTIONS": {"name": "web"}}):
        assert get_rabbit() is not first
        assert get_rabbit() is get_rabbit()
        assert "elsewhere" in repr(get_rabbit())
    with override_settings(DEBUG=True):
        assert get_rabbit() is get_rabbit()
    assert "elsewhere" not in repr(get_rabbit())


def test_services_are_served_for_a_block_whose_views_find_them() -> None:
    with serving(Register()) as rabbit:
        assert rabbit is get_rabbit()
        assert rabbit.run(rabbit.remote(Register).ask(1)) == 2
    assert rabbit.state is State.CLOSED
    assert get_rabbit() is not rabbit
    with serving(), pytest.raises(leveret.Unimplemented):
        get_rabbit().run(get_rabbit().remote(Register).ask(1))


def test_an_async_view_waits_on_a_loop_of_its_own_and_its_cancelling_reaches_the_server() -> None:
    register = Register()

    async def view() -> None:
        remote = get_rabbit().remote(Register)
        one, two = await asyncio.gather(arun(remote.ask(1)), arun(remote.ask(2)))
        assert (one, two) == (2, 3)
        waiting = asyncio.create_task(arun(remote.wait()))
        await asyncio.to_thread(register.begun.wait, 15)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with serving(register):
        asyncio.run(view())
        asyncio.run(view())
        assert register.cancelled.wait(15)


def test_a_handler_gets_a_fresh_database_connection_where_the_old_one_is_broken() -> None:
    """As when the database was restarted between two calls."""

    @uses_database
    def ask_and_break(value: int) -> int:
        found = asked(value)
        held = connection.connection
        assert isinstance(held, sqlite3.Connection)
        held.close()
        with pytest.raises(Exception, match="closed"):
            asked(value)
        return found

    @uses_database
    async def count() -> str:
        return "async"

    assert ask_and_break(1) == 2
    assert ask_and_break(3) == 4
    assert ask_and_break.__name__ == "ask_and_break"
    assert asyncio.run(count()) == "async"


def test_streams_are_refused_with_what_to_do() -> None:
    with pytest.raises(TypeError, match="a function of their own"):

        @uses_database
        async def stream() -> AsyncIterator[int]:
            yield 1

    with pytest.raises(TypeError, match="streams"):

        @uses_database
        def stream_of_a_thread() -> Iterator[int]:
            yield 1


def test_runleveret_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="nothing to serve: name services"):
        call_command("runleveret")
    with pytest.raises(CommandError, match="9100' is not HOST:PORT"):
        call_command("runleveret", "a:B", "--health=9100")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "prometheus_client", None)
        with pytest.raises(CommandError, match=r"pip install 'leveret\[metrics\]'"):
            call_command("runleveret", "a:B", "--metrics=:0")
    told = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("runleveret", "nowhere:Prices", stderr=told)
    assert ended.value.code == 11
    assert "there is no module 'nowhere'" in told.getvalue()
