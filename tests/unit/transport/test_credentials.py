"""Who logs in: what a callable and the environment may give, and that no password shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.errors import InvalidURL, Unauthenticated
from leveret.transport.credentials import (
    PASSWORD,
    PASSWORD_FILE,
    USERNAME,
    Login,
    from_environment,
    login_advice,
    look_up,
)

ANN = Login("ann", "secret")


async def test_a_callable_may_give_them_at_once_or_be_awaited() -> None:
    async def later() -> tuple[str, str]:
        return "ann", "secret"

    assert await look_up(lambda: ("ann", "secret")) == ANN
    assert await look_up(later) == ANN


@pytest.mark.parametrize(
    "given", [None, "ann", ("ann",), ("ann", None), ["ann", "secret"], ("ann", "secret", "x")]
)
async def test_anything_but_two_texts_is_refused_and_not_shown(given: object) -> None:
    with pytest.raises(Unauthenticated, match="a tuple of two texts") as raised:
        await look_up(lambda: given)  # type: ignore[arg-type, return-value]
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("given", [("", "pw"), ("a" * 256, "pw"), ("a\0b", "pw"), ("a", "p\0w")])
async def test_what_no_broker_can_take_is_refused(given: tuple[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        await look_up(lambda: given)


async def test_a_callable_that_fails_is_named_by_its_error_alone() -> None:
    def fail() -> tuple[str, str]:
        raise ValueError("the vault has secret")

    with pytest.raises(Unauthenticated, match="raised ValueError") as raised:
        await look_up(fail)
    assert "secret" not in str(raised.value)
    assert isinstance(raised.value.__cause__, ValueError)


def test_a_login_shows_no_password() -> None:
    assert "secret" not in f"{ANN!r} {ANN!s}"


# -- the environment -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "username", "login"),
    [
        ({USERNAME: "ann", PASSWORD: "secret"}, None, ANN),
        ({USERNAME: "ann", PASSWORD: "secret"}, "ann", ANN),
        ({PASSWORD: "secret"}, "ann", ANN),
        ({PASSWORD: "secret"}, None, Login("guest", "secret")),
        ({USERNAME: "ann"}, None, Login("ann", "")),
    ],
)
async def test_the_environment_gives_user_and_password(
    environ: dict[str, str], username: str | None, login: Login
) -> None:
    credentials = from_environment(environ, username)
    assert credentials is not None
    assert await look_up(credentials) == login


@pytest.mark.parametrize(
    ("environ", "username"),
    [({}, None), ({USERNAME: "ann"}, "ann"), ({USERNAME: "bob", PASSWORD: "secret"}, "ann")],
)
def test_the_environment_gives_nothing_for_another_user(
    environ: dict[str, str], username: str | None
) -> None:
    assert from_environment(environ, username) is None


def test_a_password_and_a_file_with_one_cannot_both_be_meant() -> None:
    with pytest.raises(InvalidURL, match="unset one of them"):
        from_environment({PASSWORD: "secret", PASSWORD_FILE: "/secret"}, None)


async def test_the_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    credentials = from_environment({PASSWORD_FILE: str(file)}, "ann")
    assert credentials is not None
    assert await look_up(credentials) == ANN
    file.write_text("another")
    assert await look_up(credentials) == Login("ann", "another")
    file.write_bytes(b"\xff")
    with pytest.raises(Unauthenticated, match="UTF-8"):
        await look_up(credentials)
    file.unlink()
    with pytest.raises(Unauthenticated, match="cannot be read: No such file"):
        await look_up(credentials)


# -- advice ----------------------------------------------------------------------------------------


def test_advice_names_where_the_login_came_from(tmp_path: Path) -> None:
    fixed = from_environment({USERNAME: "ann", PASSWORD: "secret"}, None)
    in_file = from_environment({PASSWORD_FILE: str(tmp_path)}, "ann")
    assert login_advice(None) == "Check the URL's user and password."
    assert login_advice(fixed) == f"Check {USERNAME} and {PASSWORD}."
    assert login_advice(in_file) == f"Check {USERNAME} and {PASSWORD_FILE}."
    assert "credentials=" in login_advice(lambda: ("ann", "secret"))
