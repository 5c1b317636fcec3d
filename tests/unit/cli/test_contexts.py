"""Brokers by name, in a file that nobody else can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.cli.contexts import ContextError, Contexts, contexts_file, is_name, read_contexts


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leveret" / "contexts.toml"


def test_what_is_written_is_read_and_only_this_user_can(file: Path) -> None:
    written = Contexts(
        urls={"prod.eu": 'amqp://ann:s"ec\\ret@host/', "dev": "amqp://ü@localhost/"},
        current="dev",
    )
    written.write(file)
    written.write(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]
    read = read_contexts(file)
    assert (read.urls, read.current) == (written.urls, "dev")


def test_without_a_file_there_are_none(file: Path) -> None:
    assert read_contexts(file).urls == {}
    Contexts().write(file)
    assert read_contexts(file).current == ""


def test_a_file_that_others_can_read_is_refused(file: Path) -> None:
    Contexts().write(file)
    file.chmod(0o640)
    with pytest.raises(ContextError, match="chmod 600"):
        read_contexts(file)


@pytest.mark.parametrize(
    "text",
    [
        "url = 'secret",
        "contexts = 3",
        "current = 3",
        "[contexts.a]\nurl = 3",
        "[contexts]\na = 3",
        "[contexts.'a b']\nurl = 'secret'",
    ],
)
def test_another_form_is_refused_and_no_password_shown(file: Path, text: str) -> None:
    Contexts().write(file)
    file.write_text(text)
    with pytest.raises(ContextError) as caught:
        read_contexts(file)
    assert "secret" not in str(caught.value)


def test_what_cannot_be_written_or_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "leveret").write_text("no folder")
    file = tmp_path / "leveret" / "contexts.toml"
    with pytest.raises(ContextError, match="cannot be written"):
        Contexts().write(file)
    assert read_contexts(file).urls == {}
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    with pytest.raises(ContextError, match="cannot be read"):
        read_contexts(folder)


def test_the_file_is_where_the_user_keeps_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    under_home = tmp_path / ".config" / "leveret" / "contexts.toml"
    assert contexts_file({"XDG_CONFIG_HOME": "/etc/mine"}) == Path(
        "/etc/mine/leveret/contexts.toml"
    )
    assert contexts_file({"XDG_CONFIG_HOME": "not/absolute"}) == under_home
    assert contexts_file({}) == under_home


def test_a_url_is_no_name() -> None:
    assert is_name("prod-eu.1")
    for text in ("", "-a", "amqp://a", "ann:secret@host", "a b", "a" * 65):
        assert not is_name(text)
