"""Brokers by name: a file of the user's own, for the command line alone.

It holds passwords. So it is written with mode 600, and not read if others could.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from leveret.errors import LeveretError

__all__ = ["ContextError", "Contexts", "contexts_file", "is_name", "read_contexts"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_OTHERS: Final = 0o077


class ContextError(LeveretError):
    """The file of contexts cannot be used, or has no such context."""


class Contexts(Struct, eq=False, kw_only=True):
    """The brokers that the user has given names."""

    urls: dict[str, str] = field(default_factory=dict)
    """Their URLs."""
    current: str = ""
    """The one that is used where nothing else is said; "" for none."""

    def write(self, file: Path) -> None:
        """Write them to a file that only this user can read, all or nothing.

        :raises ContextError: if that is not possible.
        """
        lines = [f"current = {_quoted(self.current)}", ""] if self.current else []
        for name, url in sorted(self.urls.items()):
            lines += [f"[contexts.{_quoted(name)}]", f"url = {_quoted(url)}", ""]
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Its mode is 600 from its first moment on.
            descriptor, made = tempfile.mkstemp(dir=file.parent, prefix=file.name)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                    stream.write("\n".join(lines))
                Path(made).replace(file)
            except BaseException:
                Path(made).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise ContextError(f"{file} cannot be written: {error.strerror}") from error


def is_name(text: str) -> bool:
    """Whether a context may be named so; a URL is no such name."""
    return _NAME.fullmatch(text) is not None


def contexts_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the contexts are kept."""
    folder = environment.get("XDG_CONFIG_HOME", "")
    # A path that is not absolute is to be ignored (XDG Base Directory Specification).
    base = Path(folder) if Path(folder).is_absolute() else Path.home() / ".config"
    return base / "leveret" / "contexts.toml"


def read_contexts(file: Path) -> Contexts:
    """Read the contexts; there are none where there is no file.

    :raises ContextError: if it cannot be read, others could read it, or it has another form.
    """
    try:
        mode = file.stat().st_mode
        if os.name == "posix" and mode & _OTHERS:
            raise ContextError(
                f"{file} has passwords, and others than you can read it: chmod 600 {file}"
            )
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Contexts()
    except OSError as error:
        raise ContextError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError:
        # Without what the parser says: it may show a password.
        raise ContextError(f"{file} is no TOML") from None
    return _read(file, found)


def _read(file: Path, found: Mapping[str, object]) -> Contexts:
    contexts, current = found.get("contexts", {}), found.get("current", "")
    if not (isinstance(contexts, dict) and isinstance(current, str)):
        raise ContextError(f"{file} has another form than `leveret context` writes")
    urls = {}
    for name, context in contexts.items():
        url = context.get("url") if isinstance(context, dict) else None
        if not (isinstance(url, str) and is_name(name)):
            raise ContextError(f"{file}: the context {name!r} has no url, or is named wrongly")
        urls[name] = url
    return Contexts(urls=urls, current=current)


def _quoted(text: str) -> str:
    """A basic string of TOML; of printable text it is what JSON has."""
    return json.dumps(text, ensure_ascii=False)
