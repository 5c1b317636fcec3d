"""Looks up user and password for each connection that is opened.

From then on, only a `Login` holds the password. It never shows it, not even to an error tracker
that reports the variables of every frame.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from leveret.errors import InvalidURL, Unauthenticated

__all__ = ["Credentials", "Login", "from_environment", "login_advice", "look_up"]

Credentials = Callable[[], tuple[str, str] | Awaitable[tuple[str, str]]]
"""Gives user and password, at once or awaited; users pass it to `connect(credentials=...)`.

It is called at every connect and reconnect, on the event loop, so one that waits should be async.
"""

USERNAME: Final = "LEVERET_USERNAME"
PASSWORD: Final = "LEVERET_PASSWORD"  # noqa: S105 - the name of a variable
PASSWORD_FILE: Final = "LEVERET_PASSWORD_FILE"  # noqa: S105 - likewise


class Login(Struct, frozen=True):
    """A user with its password, which is never shown."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.username!r})"


async def look_up(credentials: Credentials) -> Login:
    """Call it, and check the user and the password that it gives.

    :raises Unauthenticated: if it fails, or gives anything else.
    """
    try:
        given: object = credentials()
        if inspect.isawaitable(given):
            given = await given
    except Unauthenticated:
        raise
    except Exception as error:
        raise Unauthenticated(
            f"there are no credentials to log in with: {_source(credentials)} raised"
            f" {type(error).__name__}"
        ) from error
    match given:
        case (str(username), str(password)) if isinstance(given, tuple):
            pass
        case _:
            raise Unauthenticated(
                f"{_source(credentials)} must give a tuple of two texts, user and password; it"
                f" gave {_shape(given)}"
            )
    if not username or len(username.encode("utf-8", "replace")) > 255:
        raise Unauthenticated(f"{_source(credentials)} gave a user name that is not possible")
    if "\0" in username + password:  # SASL PLAIN separates with it
        raise Unauthenticated(f"{_source(credentials)} gave a text with the character NUL in it")
    return Login(username, password)


def from_environment(environ: Mapping[str, str], username: str | None) -> Credentials | None:
    """Read LEVERET_USERNAME, LEVERET_PASSWORD and LEVERET_PASSWORD_FILE; None if they are not set.

    The file is read at each connect, because an operator may write another password into it.

    :param username: the user in the URL, if it names one. A password of another user is not taken.
    :raises InvalidURL: if there are both a password and a file with one.
    """
    named, password = environ.get(USERNAME), environ.get(PASSWORD)
    file = environ.get(PASSWORD_FILE)
    if username is not None and named not in (None, username):
        return None
    if password is not None and file is not None:
        raise InvalidURL(f"there are both {PASSWORD} and {PASSWORD_FILE}; unset one of them")
    if password is None and file is None and (named is None or username is not None):
        return None
    user = username or named or "guest"
    if file is not None:
        return _PasswordFile(user, Path(file))
    return _Fixed(Login(user, password or ""))


class _Fixed:
    """User and password from the environment."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def __call__(self) -> tuple[str, str]:
        return self._login.username, self._login.password

    def __str__(self) -> str:
        return "the environment"


class _PasswordFile:
    """A user, and the file that holds the password."""

    def __init__(self, username: str, path: Path) -> None:
        self._username = username
        self._path = path

    def __call__(self) -> tuple[str, str]:
        try:
            return self._username, self._path.read_text("utf-8").removesuffix("\n")
        except OSError as error:
            raise Unauthenticated(
                f"{PASSWORD_FILE}: {os.fspath(self._path)!r} cannot be read: {error.strerror}"
            ) from error
        except UnicodeDecodeError:
            raise Unauthenticated(
                f"{PASSWORD_FILE}: {os.fspath(self._path)!r} is not UTF-8"
            ) from None

    def __str__(self) -> str:
        return f"the environment, with {PASSWORD_FILE}"


def _source(credentials: Credentials) -> str:
    """Its name in an error message."""
    if isinstance(credentials, _Fixed | _PasswordFile):
        return str(credentials)
    return "connect(credentials=...)"


def login_advice(credentials: Credentials | None) -> str:
    """Advice for a user whose login was refused."""
    if credentials is None:
        return "Check the URL's user and password."
    if isinstance(credentials, _Fixed):
        return f"Check {USERNAME} and {PASSWORD}."
    if isinstance(credentials, _PasswordFile):
        return f"Check {USERNAME} and {PASSWORD_FILE}."
    return "Check what connect(credentials=...) gives."


def _shape(given: object) -> str:
    """Its types, without the values, which may be secret."""
    if isinstance(given, tuple):
        return f"a tuple of {', '.join(type(part).__name__ for part in given) or 'nothing'}"
    return type(given).__name__
