"""What `import leveret` may not load or make, since it would take all programs longer to start.

The goal is 150 ms (`python -m bench --memory`). No test measures it: here is what it was lost to.
"""

from __future__ import annotations

import subprocess
import sys

SLOW = (
    "difflib",
    "email",
    "http",
    "importlib.metadata",
    "logging.config",
    "logging.handlers",
    "multiprocessing",
    "pickle",
    "statistics",
    "tempfile",
    "unittest",
    "urllib.request",
    "uvloop",
    "xml",
    "zoneinfo",
)
"""Modules that few programs need, or only to say what went wrong."""

OPTIONAL = (
    "asyncpg",
    "django",
    "jinja2",
    "numpy",
    "opentelemetry",
    "prometheus_client",
    "pyarrow",
    "pydantic",
    "redis",
    "rich",
    "starlette",
    "typer",
    "watchfiles",
)
"""Other people's packages, some of them extras: whoever uses them has imported them, or does."""

ROOMS = (
    "asyncapi",
    "blocking",
    "broker",
    "cli",
    "console",
    "contrib",
    "demo",
    "documents",
    "metrics",
    "testing",
    "tracing",
)
"""Rooms of the house that a client or a server does without."""

DATACLASSES = {
    "leveret.annotations.hooks.Hook",
    "leveret.client.verbs.answers.Answers",
    "leveret.once.store.Abandoned",
    "leveret.once.store.Begun",
    "leveret.once.store.Recorded",
    "leveret.once.store.Taken",
    "leveret.wire.plain_queue.PlainQueue",
}
"""Public ones, which users may give to `dataclasses.replace`. All other records are structs."""


def printed(program: str) -> set[str]:
    """What a Python of its own prints, once it has imported what Leveret cannot do without."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, asyncio, msgspec.inspect, ssl\n{program}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_import_leveret_loads_nothing_that_few_programs_need() -> None:
    unwanted = SLOW + OPTIONAL + tuple(f"leveret.{room}" for room in ROOMS)
    found = printed(
        "before = set(sys.modules); import leveret;"
        f" print(*set({unwanted}) & (set(sys.modules) - before))"
    )
    assert found == set()


def test_import_leveret_makes_no_dataclass_that_could_be_a_struct() -> None:
    # Making a dataclass takes 0.5 ms, a struct of msgspec's 0.01 ms.
    made = printed(
        "import leveret\n"
        "for module in [m for name, m in sys.modules.items() if name.startswith('leveret')]:\n"
        "    for thing in vars(module).values():\n"
        "        if isinstance(thing, type) and '__dataclass_params__' in vars(thing):\n"
        "            if thing.__module__.startswith('leveret'):\n"
        "                print(f'{thing.__module__}.{thing.__qualname__}')"
    )
    assert made == DATACLASSES
