"""The example of Django as its README tells: gunicorn forks it, uvicorn runs it, it serves."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.behaviour.patience import until_found
from tests.docs.fences import blocks
from tests.examples.readmes import command, requests
from tests.interop.programs import ROOT, Program, run, running

pytestmark = pytest.mark.slow

PROJECT: Final = ROOT / "examples" / "django"
MANAGE: Final = PROJECT / "manage.py"
BIN: Final = Path(sys.executable).parent


class AccessLog:
    """Which processes have answered, in a file that gunicorn writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._seen = 0

    def processes(self) -> list[int]:
        """Of all requests since `forget`."""
        return [int(line.strip("<>")) for line in self._lines()[self._seen :]]

    def forget(self) -> None:
        self._seen = len(self._lines())

    def _lines(self) -> list[str]:
        return self.path.read_text().splitlines()


async def says_where(server: Program, words: str) -> str:
    """The address that a web server says it listens at."""
    line = await server.says(words)
    return line.partition("http://")[2].split()[0]


async def test_views_call_under_gunicorn_with_preload_also_after_a_worker_died_and_under_uvicorn(
    rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE", str(tmp_path / "db.sqlite3"))
    migrate, serve = (command(PROJECT, f"python manage.py {one}") for one in ("mig", "runleveret"))
    await run(MANAGE, *migrate[1:], "--verbosity=0", url=rabbitmq_url)
    async with running(MANAGE, *serve[1:], url=rabbitmq_url) as service:
        await service.says("serving market.services:Prices")
        await under_gunicorn(rabbitmq_url, AccessLog(tmp_path / "access.log"))
        await under_uvicorn(rabbitmq_url)
        service.process.terminate()
        assert await service.ends() == 0


async def under_gunicorn(url: str, log: AccessLog) -> None:
    script, *words = command(PROJECT, "gunicorn")
    words += ["--threads=2", f"--access-logfile={log.path}", "--access-logformat=%(p)s"]
    async with running(BIN / script, *words, url=url, folder=PROJECT) as web:
        address = await says_where(web, "Listening at")
        async with httpx.AsyncClient(
            base_url=f"http://{address}", headers={"connection": "close"}, timeout=30
        ) as browser:
            os.kill(await both_workers_answer(browser, log), signal.SIGKILL)
            await web.says("Booting worker")
            await both_workers_answer(browser, log)
            assert (await browser.get("/quote/truffle/1")).status_code == 404
            ((path, told),) = requests(PROJECT)
            assert (await browser.get(path)).text == told
        web.process.terminate()
        assert await web.ends() == 0
        assert "Traceback" not in web.output


async def both_workers_answer(browser: httpx.AsyncClient, log: AccessLog) -> int:
    """Make requests until two workers have answered some; returns the process of one of them."""
    log.forget()

    async def who_answered() -> int:
        answers = await asyncio.gather(
            *(browser.get("/quote/carrot/3") for _ in range(20)), browser.get("/basket/carrot,hay")
        )
        told = Counter(answer.text for answer in answers)
        assert told == {'{"cents": 90}': 20, '{"cents": 530}': 1}
        return len(set(log.processes()))

    await until_found(who_answered, 2, "two workers answer")
    return log.processes()[-1]


async def under_uvicorn(url: str) -> None:
    uvicorn = (f"--app-dir={PROJECT}", "--port=0", "--lifespan=off", "market.asgi:application")
    async with running(BIN / "uvicorn", *uvicorn, url=url) as web:
        address = await says_where(web, "running on")
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as browser:
            assert (await browser.get("/quote/hay/2")).json() == {"cents": 1000}
            assert (await browser.get("/basket/carrot,hay")).json() == {"cents": 530}


async def test_the_tests_of_the_example_pass() -> None:
    assert "OK" in await run(MANAGE, *command(PROJECT, "python manage.py test")[1:], url="")


async def test_the_code_of_the_page_passes_its_own_tests(tmp_path: Path) -> None:
    """In a copy of the example: its settings, its views, its service, its tests."""
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project)
    market = project / "market"
    settings, views, services, tests = (
        block.text for block in blocks("docs/django-flask-celery.md", "python")[:4]
    )
    with (market / "settings.py").open("a") as file:
        file.write(settings.replace("...", '"market"'))
    (market / "views.py").write_text(
        "import asyncio\nfrom django.http import JsonResponse\n"
        f"from market.services import Prices\n{views}"
    )
    (market / "services.py").write_text(
        "from leveret import Service, method\nfrom leveret.contrib.django import uses_database\n"
        f"from market.models import Price\n{services}"
    )
    made = "        Price.objects.get_or_create(sku='carrot', cents=30)\n"
    begin, test, end = tests.partition("    def test_a_view_asks_the_service(self):\n")
    (market / "tests.py").write_text(
        "from django.test import TransactionTestCase\nfrom market.models import Price\n"
        f"from market.services import Prices\n{begin}{test}{made}{end}"
    )
    told = await run(project / "manage.py", "test", url="", folder=project)
    assert "Ran 1 test" in told
    assert "OK" in told
