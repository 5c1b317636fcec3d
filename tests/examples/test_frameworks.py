"""The examples of Flask, Celery, Typer and Jupyter, each as its README tells, forked and real."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import httpx
import nbformat
import pytest
from nbclient import NotebookClient

from tests.interop.programs import ROOT, run, running

pytestmark = pytest.mark.slow

EXAMPLES: Final = ROOT / "examples"
BIN: Final = Path(sys.executable).parent
LEVERET: Final = BIN / "leveret"


async def test_flask_calls_from_a_forked_worker_of_gunicorn(rabbitmq_url: str) -> None:
    folder = EXAMPLES / "flask"
    gunicorn = ("--preload", "--workers=1", "--bind=127.0.0.1:0", "app:app")
    async with (
        running(LEVERET, "serve", "app:Prices", url=rabbitmq_url, folder=folder) as service,
        running(BIN / "gunicorn", *gunicorn, url=rabbitmq_url, folder=folder) as web,
    ):
        await service.says("serving")
        line = await web.says("Listening at")
        address = line.partition("http://")[2].split()[0]
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as browser:
            for count in range(1, 20):
                answer = await browser.get(f"/quote/carrot/{count}")
                assert answer.json() == {"cents": 30 * count}
            assert (await browser.get("/prices.csv")).text == "carrot,30\nhay,500\n"
            unknown = await browser.get("/quote/truffle/1")
            assert (unknown.status_code, unknown.json()) == (
                404,
                {"error": "prices.quote: There is no such product. (sku='truffle')"},
            )


async def test_a_celery_task_calls_from_a_forked_process_and_is_tried_again_where_that_is_safe(
    rabbitmq_url: str,
) -> None:
    folder = EXAMPLES / "celery"
    worker = ("--app=tasks", "worker", "--concurrency=1", "--loglevel=INFO", "--without-mingle")
    async with running(BIN / "celery", *worker, url=rabbitmq_url, folder=folder) as celery:
        await celery.says("ready")
        async with running(folder / "tasks.py", url=rabbitmq_url, folder=folder) as program:
            retry = await celery.says("retry: Retry in 1s")  # nobody serves it so far
            assert "Unimplemented" in retry
            async with running(LEVERET, "serve", "tasks:Reports", url=rabbitmq_url, folder=folder):
                await program.says("report 7")
                assert await program.ends() == 0
        celery.process.terminate()
        assert await celery.ends() == 0


async def test_a_command_line_of_typer_calls_and_shows_progress(rabbitmq_url: str) -> None:
    folder = EXAMPLES / "typer"
    shop = folder / "shop.py"
    async with running(LEVERET, "serve", "shop:Shop", url=rabbitmq_url, folder=folder) as service:
        await service.says("serving")
        assert await run(shop, "quote", "carrot", "3", url=rabbitmq_url) == "0.90"
        told = await run(shop, "restock", "20", url=rabbitmq_url)
        assert "% shelf" in told
        assert told.splitlines()[-1] == "240 boxes"
        async with running(shop, "quote", "truffle", url=rabbitmq_url) as program:
            await program.says("RemoteError: shop.quote")
            assert await program.ends() == 1


async def test_the_cells_of_the_notebook_run_with_await_and_without_and_show_progress(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = EXAMPLES / "jupyter"
    monkeypatch.setenv("LEVERET_URL", rabbitmq_url)
    notebook = nbformat.read(folder / "reports.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    async with running(
        LEVERET, "serve", "reports:Reports", url=rabbitmq_url, folder=folder
    ) as service:
        await service.says("serving")
        client = NotebookClient(notebook, resources={"metadata": {"path": str(folder)}})
        await client.async_execute()
    _, awaited, _, with_bar, _, blocking, blocking_with_bar = notebook.cells
    assert results(awaited) == ["'a report of 1 pages'"]
    assert results(blocking) == ["'a report of 1 pages'"]
    for cell in (with_bar, blocking_with_bar):
        assert results(cell) == ["'a report of 4 pages'"]
        (bar,) = [one for one in cell.outputs if one.output_type == "display_data"]
        assert "100" in bar.data["text/plain"], "the last state of the bar"


def results(cell: Any) -> list[str]:
    """What a cell gave."""
    return [one.data["text/plain"] for one in cell.outputs if one.output_type == "execute_result"]
