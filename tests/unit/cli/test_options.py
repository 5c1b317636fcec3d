"""Options of the form `name=text`, and URLs that no command can use."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from leveret.cli.contexts import Contexts, contexts_file
from leveret.cli.options import broker_of, read_pairs, read_users, refuse_embedded


def test_pairs_are_a_dict_and_a_text_may_hold_an_equals_sign() -> None:
    assert read_pairs(["a=1", "b=x=y", "c="], "--plain") == {"a": "1", "b": "x=y", "c": ""}
    assert read_pairs(None, "--plain") == {}


@pytest.mark.parametrize("words", [["a"], ["=1"], ["a=1", "a=2"]])
def test_other_forms_are_refused_by_the_name_of_their_option(words: list[str]) -> None:
    with pytest.raises(typer.BadParameter, match=r"^--plain: "):
        read_pairs(words, "--plain")


def test_users_are_names_behind_what_they_may_call() -> None:
    assert read_users(["shop=ada,b*", "*=eve"], "--allow") == {"shop": ("ada", "b*"), "*": ("eve",)}


@pytest.mark.parametrize("word", ["shop=", "shop=ada,,eve", "shop=ada,ada"])
def test_users_without_a_name_or_twice_are_refused(word: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"^--allow: "):
        read_users([word], "--allow")


@pytest.mark.parametrize("url", ["embedded://", " EMBEDDED://shop "])
def test_a_broker_that_no_other_process_reaches_is_refused(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as exit_:
        refuse_embedded(url)
    assert exit_.value.exit_code == 2
    assert "start one for all with `leveret broker`" in capsys.readouterr().err


@pytest.mark.parametrize("url", [None, "amqp://localhost/"])
def test_any_other_url_passes(url: str | None) -> None:
    refuse_embedded(url)


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Contexts:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("LEVERET_URL", raising=False)
    contexts = Contexts(urls={"dev": "amqp://dev/"})
    contexts.write(contexts_file())
    return contexts


def test_a_broker_is_named_by_its_url_or_by_a_context(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert broker_of("amqp://host/") == "amqp://host/"
    assert broker_of("guest:secret@host") == "guest:secret@host"  # for the error of its form
    assert broker_of("dev") == "amqp://dev/"
    assert broker_of(None) is None
    contexts.current = "dev"
    contexts.write(contexts_file())
    assert broker_of(None) == "amqp://dev/"
    monkeypatch.setenv("LEVERET_URL", "")  # which the command refuses
    assert broker_of(None) is None


def test_a_context_that_is_not_there_is_refused(contexts: Contexts) -> None:
    with pytest.raises(typer.BadParameter, match="did you mean 'dev'"):
        broker_of("dve")
    with pytest.raises(typer.BadParameter, match="leveret context ls"):
        broker_of("nothing")
    contexts_file().chmod(0o644)
    with pytest.raises(typer.BadParameter, match="chmod 600"):
        broker_of("dev")
