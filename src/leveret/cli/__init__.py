"""The command line: `leveret serve`, `call`, `ls`, `stats`, `map` and others.

This module only starts `app`, so that nothing but the command itself imports typer.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

__all__ = ["main"]

_EXTRA: Final = frozenset({"typer", "rich", "click", "watchfiles", "anyio"})
"""The packages that the extra `cli` installs."""


def main() -> None:
    """Run the command line of this process and exit with its code."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, as some that start daemons do
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - until the end
    try:
        from leveret.cli.app import app  # noqa: PLC0415 - needs the extra

        app(prog_name="leveret")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        print(
            f"leveret: the command line needs {error.name}: pip install 'leveret[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:  # typer handles most of them, though not every version with 130
        sys.exit(130)
