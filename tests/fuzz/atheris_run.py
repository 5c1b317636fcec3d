"""Fuzzing that is guided by coverage: `python -m tests.fuzz.atheris_run TARGET... [-runs=N ...]`.

TARGET is one of the checks of `decoders.py` or `whole.py`, "all" of them, or "planted".
-minutes=N is shared out among the targets; what else begins with "-" goes to libFuzzer
(https://llvm.org/docs/LibFuzzer.html): -runs=N, -seed=N. The corpus grows in build/fuzz/TARGET; an
input that fails is told and written beside it, and makes the exit code 1.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["leveret"]):
    from tests.fuzz.decoders import DECODERS, Check
    from tests.fuzz.seeds import SEEDS
    from tests.fuzz.whole import WHOLE


def _planted(data: bytes) -> None:
    """Always fails, so that a test can see that findings are told."""
    raise AssertionError("this is planted")


CHECKS: Final[dict[str, Check]] = DECODERS | WHOLE
TARGETS: Final[dict[str, Check]] = CHECKS | {"planted": _planted}
FOLDER: Final = Path("build", "fuzz")
LIMITS: Final = ("-timeout=10", "-rss_limit_mb=1024", "-max_len=4096", "-verbosity=0")
"""Seconds that one input may take, megabytes for all, bytes of the largest input."""


def main() -> int:
    """Fuzz; returns 1 if anything was found."""
    names = [word for word in sys.argv[1:] if not word.startswith("-")]
    if "all" in names:
        names = [*CHECKS, *(name for name in names if name != "all")]
    options = [_option(word, max(len(names), 1)) for word in sys.argv[1:] if word.startswith("-")]
    if not names or set(names) - TARGETS.keys():
        print(f"name some of these targets, or all: {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    logging.disable()  # of what strangers send, much is warned of
    found = [name for name in names if not _finds_nothing(name, options)]
    print(f"fuzzed {', '.join(names)}: {'found ' + ', '.join(found) if found else 'no findings'}")
    return 1 if found else 0


def _option(word: str, targets: int) -> str:
    name, _, value = word.partition("=")
    return f"-max_total_time={float(value) * 60 / targets:.0f}" if name == "-minutes" else word


def _finds_nothing(name: str, options: list[str]) -> bool:
    """Fuzz one target in a process of its own: libFuzzer ends the one it runs in."""
    child = os.fork()
    if child == 0:
        corpus = FOLDER / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(SEEDS.get(name, ())):
            (corpus / f"seed-{number}").write_bytes(seed)
        prefix = f"-artifact_prefix={FOLDER}/{name}-"
        atheris.Setup(
            [sys.argv[0], *LIMITS, prefix, *options, str(corpus)],
            lambda data: TARGETS[name](bytes(data)),
        )
        atheris.Fuzz()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


if __name__ == "__main__":
    sys.exit(main())
