"""The pages of the reference: each public name, with what its docstring says.

The names of `leveret` are many, so they stand on pages by subject. Other public modules have one.
"""

from __future__ import annotations

from typing import Final

SUBJECTS: Final = {
    "connecting": (
        "Connecting and calling",
        "Open a connection, call by it, and choose how.",
        (
            *("connect", "run", "Rabbit", "Caller", "RemoteStream", "DiscoveredService"),
            *("PlainRemote", "CallHandle", "CallStatus", "Answers", "Progress", "Item"),
            *("Retry", "Hedge", "Breaker", "Reconnect", "Credentials", "ConnectionEvent", "State"),
        ),
    ),
    "services": (
        "Services and servers",
        "Define services, serve them, and look at the call that a handler works on.",
        (
            *("Service", "method", "Meta", "Hook", "service_schema", "Serving", "Server"),
            *("current_call", "CurrentCall", "Adaptive", "Allow", "PlainQueue"),
        ),
    ),
    "middleware": (
        "Middleware",
        "What stands around calls, at the client and at the server.",
        (
            *("ClientMiddleware", "ClientCallNext", "OutgoingCall"),
            *("ServerMiddleware", "ServerCallNext", "CallEnd"),
        ),
    ),
    "statistics": (
        "Statistics",
        "What servers say of themselves.",
        (
            *("Survey", "Pong", "StatsSurvey", "MethodTotals", "ServerIdentity", "ServerStats"),
            *("QueueStats", "ServerCalls", "RunningCall"),
        ),
    ),
    "errors": (
        "Error classes",
        "The classes. [Errors](../errors.md) has their messages, and what to do about each.",
        (
            *("LeveretError", "CallError", "Code", "InvalidArgument", "Unimplemented", "NoServer"),
            *("CircuitOpen", "Busy", "DeadlineExceeded", "Cancelled", "MaybeExecuted"),
            *("StreamBroken", "ConnectionLost", "PermissionDenied", "Unauthenticated"),
            *("RemoteError", "InvalidResult", "DeclaredError", "ContractError", "InvalidURL"),
            *("TopologyError", "AMQPError", "ConnectionClosed", "ChannelClosed", "ProtocolError"),
            "http_status",
        ),
    ),
}
"""Pages of the names of `leveret`, by file: title, what they are for, names."""

MODULES: Final = (
    *("leveret.blocking", "leveret.testing", "leveret.once", "leveret.broker", "leveret.metrics"),
    *("leveret.tracing", "leveret.console", "leveret.contrib.asgi"),
    "leveret.contrib.django",
    *("leveret.contrib.django.testing", "pytest_leveret"),
)
"""The other public modules."""

ELSEWHERE: Final = {
    "Meta": "`leveret.Meta` is [`msgspec.Meta`](https://jcristharif.com/msgspec/constraints.html):"
    " bounds of numbers, lengths and patterns, for `Annotated`.",
}
"""Public names that other projects document."""


def pages(names: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """The pages by their paths in the site.

    :param names: the public names of each module, in the order of its `__all__`.
    """
    found = {"reference/index.md": _overview(names)}
    for file, (title, purpose, members) in SUBJECTS.items():
        found[f"reference/{file}.md"] = _page(title, purpose, "leveret", members)
    for module in MODULES:
        found[f"reference/{module}.md"] = "\n".join(
            [
                f"# {module}\n",
                f"::: {module}",
                "    options:",
                "      show_root_heading: false",
                "      show_root_toc_entry: false",
                "      members: false\n",
                *(_directive(module, name) for name in names[module]),
            ]
        )
    return found


def _page(title: str, purpose: str, module: str, members: tuple[str, ...]) -> str:
    return "\n".join([f"# {title}\n\n{purpose}\n", *(_directive(module, name) for name in members)])


def _directive(module: str, name: str) -> str:
    if name in ELSEWHERE:
        return f"## {name}\n\n{ELSEWHERE[name]}\n"
    return f"::: {module}.{name}\n"


def _overview(names: dict[str, tuple[str, ...]]) -> str:
    lines = [
        "# The Python API\n",
        "Public are the names on these pages. All other modules may change in any release.\n",
    ]
    for file, (title, purpose, members) in SUBJECTS.items():
        lines += [f"## [{title}]({file}.md)\n", purpose.partition("[")[0].strip() + "\n"]
        lines.append(", ".join(_linked(file, "leveret", name) for name in members) + "\n")
    for module in MODULES:
        lines += [f"## [`{module}`]({module}.md)\n"]
        lines.append(", ".join(_linked(module, module, name) for name in names[module]) + "\n")
    return "\n".join(lines)


def _linked(file: str, module: str, name: str) -> str:
    anchor = name.lower() if name in ELSEWHERE else f"{module}.{name}"
    return f"[`{name}`]({file}.md#{anchor})"
