"""The code in docs/django-flask-celery.md for Flask, Celery and Typer runs, in these frameworks.

That for Django and Jupyter is run by tests/examples.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

import flask
import pytest
import typer
from typer.testing import CliRunner

import leveret
import leveret.blocking
from tests.brokers import Loop
from tests.docs.fences import ROOT, blocks

PAGE: Final = "docs/django-flask-celery.md"


def example(name: str) -> ModuleType:
    """The module of an example, whose contracts and imports the code of the page has."""
    path = ROOT / "examples" / name
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code(heading: str) -> str:
    """The block of Python below a heading of the page."""
    (block,) = [one for one in blocks(PAGE, "python") if one.heading == heading]
    return block.text


@pytest.fixture
def examples(rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The examples, with their services served."""
    monkeypatch.setenv("LEVERET_URL", rabbitmq_url)
    modules = {name: example(f"{name}.py") for name in ("flask/app", "celery/tasks", "typer/shop")}

    async def serve() -> Any:
        rabbit = await leveret.connect(rabbitmq_url)
        await rabbit.serving(
            modules["flask/app"].Prices(),
            modules["celery/tasks"].Reports(),
            modules["typer/shop"].Shop(),
        )
        return rabbit

    with Loop() as loop:
        rabbit = loop.run(serve())
        yield modules
        loop.run(rabbit.close())


def test_the_code_runs(examples: dict[str, ModuleType]) -> None:
    under_flask(vars(examples["flask/app"]).copy())
    under_celery(vars(examples["celery/tasks"]).copy())
    under_typer(vars(examples["typer/shop"]).copy())


def under_flask(names: dict[str, Any]) -> None:
    exec(code("Flask"), names)
    app, rabbit = names["app"], names["rabbit"]
    assert isinstance(app, flask.Flask)
    with rabbit, app.test_client() as browser:
        assert browser.get("/quote/carrot/3").json == {"cents": 90}
        assert browser.get("/quote/truffle/3").status_code == 404
        assert browser.get("/prices.csv").text == "carrot,30\nhay,500\n"


def under_celery(names: dict[str, Any]) -> None:
    exec(code("Celery"), names)
    names["app"].conf.task_always_eager = True
    assert names["write_report"].delay(7).get() == "report 7"
    names["close"]()
    assert names["rabbit"].state is leveret.State.CLOSED


def under_typer(names: dict[str, Any]) -> None:
    names["app"] = typer.Typer()
    exec(code("Typer"), names)
    names["app"].command()(lambda: None)  # with one command alone Typer takes no name of it
    ended = CliRunner().invoke(names["app"], ["restock", "20"])
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.strip() == "240"
    assert re.search(r"\d+% shelf \d+", ended.stderr)
