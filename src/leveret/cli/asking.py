"""What commands have in common that ask servers about themselves.

No answer is shown as complete that is not: who did not answer is said on standard error, or in the
JSON, and by the exit code.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final, NoReturn, TypeVar

import msgspec
import typer

import leveret
from leveret.cli.contracts import one_line_errors
from leveret.cli.exits import DONE, INCOMPLETE
from leveret.cli.options import refuse_embedded, refuse_empty, refuse_nan
from leveret.cli.printing import one_line, print_error_text, print_result
from leveret.client.survey import Survey
from leveret.errors import CallError, InvalidArgument, NoServer, Unimplemented
from leveret.rabbit.rabbit import Rabbit
from leveret.wire.stats import ServerIdentity

__all__ = [
    "CODES",
    "Json",
    "Within",
    "ask",
    "builtins",
    "check_method",
    "found",
    "nearest",
    "print_lines",
    "print_survey",
    "split_target",
    "unanswered",
]

CODES: Final = (0, 2, 3, 5, 7, 9, 10, 13, 70, 130)
"""The exit codes that such a command can have."""

_OTHERS: Final = 5.0
"""Seconds that the servers of other services get to say what they serve."""

T = TypeVar("T")
S = TypeVar("S", bound=Survey[Any])

Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]
Within = Annotated[
    float,
    typer.Option(
        "--timeout",
        min=0.05,
        max=600,
        callback=refuse_nan,
        help="Seconds that servers have to answer. It ends before if all have that the broker knows"
        " of.",
    ),
]


def ask(url: str | None, question: Callable[[Rabbit], Awaitable[T]], *, as_json: bool) -> T:
    """Connect, and do what `question` does; exit with an error's line and code if it fails."""
    with one_line_errors(as_json=as_json):
        refuse_empty("--url", "LEVERET_URL", url)
        refuse_embedded(url, as_json=as_json)

        async def work() -> T:
            async with leveret.connect(url) as rabbit:
                return await question(rabbit)

        # Not on uvloop: loading it takes longer than it saves here.
        return asyncio.run(work())


def split_target(target: str | None) -> tuple[str | None, str]:
    """The service and the method of `SERVICE[.METHOD]`; "" without a method."""
    service, _, method = (target or "").partition(".")
    return service or None, method


async def found(rabbit: Rabbit, service: str | None, survey: S) -> S:
    """What servers of a service said, and those who are there and said nothing as missing.

    :param service: None for all that there are.
    :raises NoServer: if no server of the service is there; it says who else is.
    """
    if survey.servers or not survey.is_complete:
        return survey
    servers = await _servers(rabbit)
    silent = Counter(
        name for server in servers for name in server.services if _is_asked(server, name, service)
    )
    if silent:  # they do not know the question, as their version is older, or are too busy
        return msgspec.structs.replace(survey, missing=dict(silent))
    if service is not None:
        raise _nobody(service, servers)
    return survey


async def _servers(rabbit: Rabbit) -> list[ServerIdentity]:
    """All servers that say who they are."""
    try:
        return (await rabbit.servers(timeout=_OTHERS)).servers
    except CallError:
        return []


def _is_asked(server: ServerIdentity, name: str, asked: str | None) -> bool:
    """Whether a question for `SERVICE[.INSTANCE]` is for a server, which has the service `name`."""
    return asked in (None, name, f"{name}.{server.instance}")


def _nobody(service: str, servers: list[ServerIdentity]) -> NoServer:
    names = sorted({name for server in servers for name in server.services})
    name = service.partition(".")[0]
    if name != service and name in names:
        return NoServer(f"no server {service!r} answers; `leveret ping {name}` shows those that do")
    if not names:
        return NoServer(f"no server of the service {service!r} answers, nor of any other")
    return NoServer(f"no server of the service {service!r} answers{nearest(name, names)}")


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of an error: what was meant, or what there is; names are shown up to ten."""
    known = sorted(names)
    if not known:
        return ""
    near = get_close_matches(name, known, 1)
    if near:
        return f". Did you mean {near[0]!r}?"
    return f"; there are {', '.join(known[:10])}{', ...' if len(known) > 10 else ''}"


def check_method(service: str | None, method: str, methods: Iterable[str]) -> None:
    """See that a method is there.

    :raises Unimplemented: if it is not; it says which is meant.
    :raises InvalidArgument: if it is the method of no service.
    """
    if not method:
        return
    if service is None:
        raise InvalidArgument('a method is named "service.method"')
    known = [name.partition(".")[2] for name in methods]
    if method not in known:
        raise Unimplemented(
            f"the service {service!r} has no method {method!r}{nearest(method, known)}",
            method=f"{service}.{method}",
        )


# -- what is printed -------------------------------------------------------------------------------


def print_lines(lines: Iterable[str]) -> None:
    """Print lines whose texts were made safe, as `table` does it."""
    text = "\n".join(lines)
    if text:
        print_result(text, as_json=False)


def print_survey(
    survey: Survey[Any],
    answer: Mapping[str, object],
    lines: Iterable[str],
    *,
    as_json: bool,
    identities: Iterable[ServerIdentity],
    nothing: str = "no server answers",
    notes: Iterable[str] = (),
) -> NoReturn:
    """Print what servers said, and who did not answer; exit with whether all have.

    :param answer: what `--json` prints, beside `complete`, `answered`, `missing` and `uncounted`.
    :param identities: of those who answered.
    :param nothing: what is said on standard error where there are no `lines`, and nobody is
        missing.
    :param notes: what else is said there.
    """
    ending = typer.Exit(DONE if survey.is_complete else INCOMPLETE)
    if as_json:
        about = {
            "complete": survey.is_complete,
            "answered": len(survey.servers),
            "missing": survey.missing,
            "uncounted": survey.uncounted,
        }
        print_result({**answer, **about}, as_json=True)
        raise ending
    shown = list(lines)
    print_lines(shown)
    if not shown and survey.is_complete:
        print_error_text(nothing)
    for line in (*unanswered(survey, identities), *notes):
        print_error_text(line)
    raise ending


def unanswered(survey: Survey[Any], servers: Iterable[ServerIdentity]) -> list[str]:
    """One line for each service of which some servers did not answer, or perhaps did not."""
    answered: dict[str, int] = {}
    for server in servers:
        for name in server.services:
            answered[name] = answered.get(name, 0) + 1
    return [
        one_line(
            f"not complete: {answered.get(service, 0)} of {answered.get(service, 0) + count}"
            f" servers of {service} answered"
        )
        for service, count in sorted(survey.missing.items())
    ] + [
        one_line(
            f"perhaps not complete: {answered.get(service, 0)} servers of {service} answered, and"
            " the broker did not say how many there are"
        )
        for service in survey.uncounted
    ]


def builtins(record: object) -> Any:
    """A record as JSON has it."""
    return msgspec.to_builtins(record)
