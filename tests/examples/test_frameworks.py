"""The examples of Flask, Celery, Typer and Jupyter, each as its README tells, forked and real."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import nbformat
import pytest
from nbclient import NotebookClient

from leveret.testing import RabbitMQ
from tests.brokers import Broker
from tests.docs.fences import blocks
from tests.examples.readmes import command, commands, requests
from tests.interop.programs import ROOT, Program, running

pytestmark = pytest.mark.slow

EXAMPLES: Final = ROOT / "examples"
BIN: Final = Path(sys.executable).parent
PAGE: Final = "docs/django-flask-celery.md"


@asynccontextmanager
async def typed(folder: Path, begin: str, *more: str, url: str) -> AsyncIterator[Program]:
    """Run the command of the folder's README that begins so, in that folder."""
    script, *words = command(folder, begin)
    path = folder / script if script.endswith(".py") else BIN / script
    async with running(path, *words, *more, url=url, folder=folder) as program:
        yield program


async def test_flask_calls_from_a_forked_worker_of_gunicorn(rabbitmq_url: str) -> None:
    folder = EXAMPLES / "flask"
    async with (
        typed(folder, "leveret serve", url=rabbitmq_url) as service,
        typed(folder, "gunicorn", url=rabbitmq_url) as web,
    ):
        await service.says("serving")
        line = await web.says("Listening at")
        address = line.partition("http://")[2].split()[0]
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as browser:
            for count in range(1, 20):
                answer = await browser.get(f"/quote/carrot/{count}")
                assert answer.json() == {"cents": 30 * count}
            for path, told in requests(folder):
                answer = await browser.get(path)
                assert answer.text.strip() == told if told else answer.text
            assert (await browser.get("/prices.csv")).text == "carrot,30\nhay,500\n"
            unknown = await browser.get("/quote/truffle/1")
            assert (unknown.status_code, unknown.json()) == (
                404,
                {"error": "prices.quote: There is no such product. (sku='truffle')"},
            )


async def test_a_celery_task_calls_from_a_forked_process_and_is_tried_again_where_that_is_safe(
    rabbitmq: RabbitMQ, broker: Broker
) -> None:
    folder, url = EXAMPLES / "celery", broker.url
    cheaply = ("--concurrency=1", "--loglevel=INFO", "--without-mingle")
    async with typed(folder, "celery", *cheaply, url=url) as celery:
        await celery.says("ready")
        async with typed(folder, "python tasks.py", url=url) as program:
            retry = await celery.says("retry: Retry in 1s")  # nobody serves it so far
            assert "Unimplemented" in retry
            async with typed(folder, "leveret serve", url=url) as service:
                await program.says("report 7")
                assert await program.ends() == 0
                service.process.terminate()
                assert await service.ends() == 0
        assert any(queue.startswith("leveret.reply") for queue in broker.queues())
        celery.process.terminate()
        assert await celery.ends() == 0
    assert not any(queue.startswith("leveret.reply") for queue in broker.queues())


async def test_a_command_line_of_typer_calls_and_shows_progress(rabbitmq_url: str) -> None:
    folder = EXAMPLES / "typer"
    quote, restock = [one for one in commands(folder) if one.program == "python"]
    async with typed(folder, "leveret serve", url=rabbitmq_url) as service:
        await service.says("serving")
        async with typed(folder, str(quote), url=rabbitmq_url) as program:
            await program.says(quote.comment)
            assert await program.ends() == 0
        async with typed(folder, str(restock), url=rabbitmq_url) as program:
            await program.says("% shelf")
            await program.says("240 boxes")
            assert await program.ends() == 0
        async with running(folder / "shop.py", "quote", "truffle", url=rabbitmq_url) as program:
            await program.says("RemoteError: shop.quote")
            assert await program.ends() == 1


async def test_the_cells_of_the_notebook_run_with_await_and_without_and_show_progress(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = EXAMPLES / "jupyter"
    monkeypatch.setenv("LEVERET_URL", rabbitmq_url)
    notebook = nbformat.read(folder / "reports.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    (page,) = [block for block in blocks(PAGE, "python") if block.heading == "Jupyter"]
    notebook.cells.append(nbformat.v4.new_code_cell(page.text))  # type: ignore[no-untyped-call]
    async with typed(folder, "leveret serve", url=rabbitmq_url) as service:
        await service.says("serving")
        client = NotebookClient(notebook, resources={"metadata": {"path": str(folder)}})
        await client.async_execute()
    _, awaited, _, with_bar, _, blocking, blocking_with_bar, of_the_page = notebook.cells
    assert results(of_the_page) == ["'a report of 3 pages'"]
    assert results(awaited) == ["'a report of 1 pages'"]
    assert results(blocking) == ["'a report of 1 pages'"]
    for cell in (with_bar, blocking_with_bar):
        assert results(cell) == ["'a report of 4 pages'"]
        (bar,) = [one for one in cell.outputs if one.output_type == "display_data"]
        assert "100" in bar.data["text/plain"], "the last state of the bar"


def results(cell: Any) -> list[str]:
    """What a cell gave."""
    return [one.data["text/plain"] for one in cell.outputs if one.output_type == "execute_result"]
