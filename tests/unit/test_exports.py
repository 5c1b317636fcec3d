"""What is public: exactly these names, each documented; the documents use nothing else."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]

PUBLIC: Final = {
    "leveret": (
        *(
            "AMQPError",
            "Adaptive",
            "Allow",
            "Answers",
            "Breaker",
            "Busy",
            "CallEnd",
            "CallError",
            "CallHandle",
            "CallStatus",
        ),
        *("Caller", "Cancelled"),
        *("ChannelClosed", "CircuitOpen", "ClientCallNext", "ClientMiddleware", "Code"),
        *("ConnectionClosed", "ConnectionEvent", "ConnectionLost", "ContractError", "Credentials"),
        *("CurrentCall", "DeadlineExceeded", "DeclaredError", "DiscoveredService", "Hedge"),
        *("Hook", "InvalidArgument"),
        *(
            "InvalidResult",
            "InvalidURL",
            "Item",
            "LeveretError",
            "MaybeExecuted",
            "Meta",
            "NoServer",
        ),
        *("MethodTotals", "Pong", "QueueStats", "RunningCall", "ServerCalls", "ServerIdentity"),
        *("ServerStats", "StatsSurvey", "Survey"),
        *("OutgoingCall", "PermissionDenied", "PlainQueue", "PlainRemote", "Progress"),
        "ProtocolError",
        *("Rabbit", "Reconnect", "RemoteError", "RemoteStream", "Retry", "Server"),
        *("ServerCallNext", "StreamBroken"),
        *("ServerMiddleware", "Service", "Serving", "State", "TopologyError", "Unauthenticated"),
        *("Unimplemented", "connect", "current_call"),
        *("http_status", "method", "run", "service_schema"),
    ),
    "leveret.broker": ("EmbeddedBroker", "Limits", "Permissions", "User"),
    "leveret.console": ("app",),
    "leveret.contrib.asgi": ("Lifespan", "Problem", "problem_of"),
    "leveret.metrics": ("register",),
    "leveret.blocking": ("Rabbit", "connect"),
    "leveret.contrib.django": ("arun", "get_rabbit", "uses_database"),
    "leveret.contrib.django.testing": ("serving",),
    "leveret.tracing": ("instrument", "uninstrument"),
    "leveret.once": (
        *(
            "Abandoned",
            "Begun",
            "LARGE",
            "MAX_BODY",
            "MAX_KEY",
            "MemoryOnce",
            "LastingStore",
            "OnceStore",
        ),
        *(
            "OnceUnavailable",
            "Outcome",
            "PostgresOnce",
            "Recorded",
            "RedisOnce",
            "SqliteOnce",
            "Taken",
        ),
        *("UNANSWERED", "store_of"),
    ),
    "leveret.testing": (
        *("Broker", "Corrupt", "Cut", "Delay", "Fault", "FaultConnection", "FaultProxy", "Frame"),
        *("HalfOpen", "Moment", "RabbitMQ", "RabbitMQUnavailable", "Refuse", "Resume", "Rule"),
        *("Stall", "TLSFiles", "Throttle", "after_bytes", "after_frame", "before_frame"),
        "inside_frame",
    ),
    "pytest_leveret": ("leveret_broker",),
}
"""The public modules, and all names of each. A name that goes breaks somebody's program."""

OF_USERS: Final = ("README.md", "docs/**/*.md", "examples/**/*.py", "examples/**/*.md")
NOT_FOR_USERS: Final = ("docs/architecture.md",)
OURS_ALONE: Final = {"examples/tutorial/demo.py": {"leveret.demo"}}
"""A script that only starts what `leveret demo` starts."""


def documents() -> list[str]:
    found = {str(path.relative_to(ROOT)) for pattern in OF_USERS for path in ROOT.glob(pattern)}
    return sorted(found - set(NOT_FOR_USERS))


@pytest.mark.parametrize("module", PUBLIC)
def test_exactly_these_names_are_public(module: str) -> None:
    exported = importlib.import_module(module).__all__
    assert sorted(exported) == sorted(PUBLIC[module])
    assert len(set(exported)) == len(exported)


@pytest.mark.parametrize("module", PUBLIC)
def test_each_public_name_says_what_it_is(module: str) -> None:
    found = importlib.import_module(module)
    assert found.__doc__
    for name in PUBLIC[module]:
        value = getattr(found, name)
        if inspect.isclass(value):
            assert value.__dict__.get("__doc__"), f"{module}.{name} has no docstring"
        elif inspect.isroutine(value):
            assert value.__doc__, f"{module}.{name} has no docstring"


@pytest.mark.parametrize(
    "module",
    [
        "leveret",
        "leveret.blocking",
        "leveret.broker",
        "leveret.once",
        "leveret.testing",
    ],
)
def test_each_method_and_property_of_a_public_class_says_what_it_does(module: str) -> None:
    found = importlib.import_module(module)
    for name in PUBLIC[module]:
        value = getattr(found, name)
        if not inspect.isclass(value) or not value.__module__.startswith("leveret"):
            continue
        for member, function in vars(value).items():
            if member.startswith("_") or not isinstance(
                function, property | classmethod | staticmethod | type(documents)
            ):
                continue
            assert inspect.getdoc(getattr(value, member)), f"{module}.{name}.{member}: no docstring"


@pytest.mark.parametrize("document", documents())
def test_documents_and_examples_use_only_what_is_public(document: str) -> None:
    text = (ROOT / document).read_text()
    imported = re.findall(r"^\s*(?:from|import) (leveret[\w.]*)", text, flags=re.MULTILINE)
    allowed = PUBLIC.keys() | OURS_ALONE.get(document, set())
    inner = sorted(set(imported) - allowed)
    assert not inner, f"{document} imports {inner}, which are inner modules"
    for module, names in re.findall(
        r"^\s*from (leveret[\w.]*) import ([\w, ]+)", text, flags=re.MULTILINE
    ):
        unknown = set(re.findall(r"\w+", names)) - {"as"} - set(PUBLIC.get(module, ()))
        assert document in OURS_ALONE or not unknown, f"{document}: {module} exports no {unknown}"


def test_the_package_and_the_architecture_name_the_public_modules() -> None:
    package = importlib.import_module("leveret").__doc__ or ""
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    for module in PUBLIC:
        assert f"`{module}`" in package or module == "leveret"
        assert f"`{module}`" in architecture, f"docs/architecture.md does not name {module}"
