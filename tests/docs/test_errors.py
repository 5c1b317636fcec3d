"""docs/errors.md tells the truth: each message in it is caused for real and compared."""

from __future__ import annotations

import re
from typing import Any

import pytest

import leveret
import leveret.errors
from leveret import CallError, LeveretError
from leveret.cli.exits import exit_code
from leveret.testing import RabbitMQ
from tests.docs.error_scenes import SCENES, Scene, stage
from tests.docs.error_scenes_broken import BROKEN_SCENES
from tests.docs.fences import blocks, table

ERRORS = "docs/errors.md"
EXECUTED = re.compile(r"\b(no|yes|maybe)\b")

NAMES = sorted({*SCENES, *BROKEN_SCENES})


def documented(name: str) -> list[str]:
    """The messages in the section of an error."""
    return [block.text.rstrip("\n") for block in blocks(ERRORS, "text") if block.heading == name]


def rows() -> dict[str, list[str]]:
    """The table at the top: by the name of the error, its code, executed and exit code."""
    found = {}
    for name, *cells in table(ERRORS, "Errors"):
        link = re.fullmatch(r"\[`(\w+)`\]\(#(\w+)\)", name)
        assert link is not None, f"{name} does not link to its section"
        assert link[1].lower() == link[2], f"{name} links to another section"
        found[link[1]] = [cell.strip("`") for cell in cells]
    return found


def shown(error: BaseException, vhost: str) -> str:
    """An error as the document shows it, which knows one broker and one vhost only."""
    text = re.sub(r"127\.0\.0\.1:\d{4,}", "localhost:5672", f"{type(error).__name__}: {error}")
    text = re.sub(r"'127\.0\.0\.1', \d{4,}", "'127.0.0.1', 5672", text)
    text = text.replace(f"5672/{vhost}:", "5672/:")
    if "(Redis:" in text:
        text = text.replace("5672", "6379")
    text = re.sub(r"open for \d+\.\d s", "open for 0.1 s", text)
    text = re.sub(r"in \d+\.\d s one call", "in 59.9 s one call", text)
    text = re.sub(r"\(call [\w-]{16}\)", "(call 4mJ0cVq3uTgA1rXk)", text)
    text = re.sub(r"amq\.gen-[\w-]+", "amq.gen-jX0B-35kiuH0mQ3wlrsOTA", text)
    return text.replace(f"vhost '{vhost}'", "vhost '/'")


def check(name: str, error: BaseException, number: int, vhost: str = "/") -> None:
    """One error is what the document says."""
    assert isinstance(error, getattr(leveret, name)), f"another error came: {error!r}"
    message = documented(name)[number]
    assert shown(error, vhost) == message
    if isinstance(error, CallError):
        code, executed, _ = rows()[name]
        assert error.code == code or name == "DeclaredError"
        assert error.executed in EXECUTED.findall(executed)


def scenes() -> list[Any]:
    return [
        pytest.param(name, number, scene, id=f"{name}-{scene.__name__}")
        for name, those in SCENES.items()
        for number, scene in enumerate(those)
    ]


@pytest.mark.parametrize(("name", "number", "scene"), scenes())
async def test_an_errors_message_is_as_documented(
    rabbitmq_url: str, name: str, number: int, scene: Scene
) -> None:
    async with stage(rabbitmq_url) as on:
        with pytest.raises(LeveretError) as caught:
            await scene(on)
    # Of an error with both kinds of scenes, those on a broker of their own come last.
    check(name, caught.value, number, rabbitmq_url.rpartition("/")[2] or "/")


@pytest.mark.slow
async def test_the_errors_that_a_broken_broker_causes_are_as_documented(
    own_rabbitmq: RabbitMQ,
) -> None:
    for name, those in BROKEN_SCENES.items():
        for number, scene in enumerate(those, len(SCENES.get(name, ()))):
            async with stage(own_rabbitmq.url, reconnect=False) as on:
                with pytest.raises(LeveretError) as caught:
                    await scene(on, own_rabbitmq)
            check(name, caught.value, number)


@pytest.mark.parametrize("name", NAMES)
def test_every_message_in_the_document_has_its_scene(name: str) -> None:
    wanted = len(SCENES.get(name, ())) + len(BROKEN_SCENES.get(name, ()))
    assert len(documented(name)) == wanted, f"{ERRORS} and error_scenes.py differ about {name}"


def test_every_error_that_leveret_can_raise_is_documented() -> None:
    roots = {"LeveretError", "CallError", "AMQPError"}
    public = {
        name
        for name in leveret.__all__
        if isinstance(kind := getattr(leveret, name), type) and issubclass(kind, LeveretError)
    }
    assert set(rows()) == public - roots
    assert set(NAMES) == public - roots


def test_codes_and_exit_codes_are_as_documented() -> None:
    for name, (code, executed, exits) in rows().items():
        kind = getattr(leveret, name)
        error = kind(500, "x") if issubclass(kind, leveret.AMQPError) else _made(kind)
        assert exit_code(error) == int(exits), f"{name} has another exit code"
        if issubclass(kind, CallError) and kind is not leveret.DeclaredError:
            assert kind.code == code
            assert isinstance(error, CallError)
            assert error.executed in EXECUTED.findall(executed)
            assert code in leveret.Code.__members__


def _made(kind: type[LeveretError]) -> LeveretError:
    if kind is leveret.DeclaredError:

        class Own(leveret.DeclaredError):
            """An error of a service's own."""

        return Own()
    return kind("x")
