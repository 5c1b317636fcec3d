"""Who may call what: the rules of `allow=`, judged before a request's arguments are read.

The rules look at `current_call().user`, the broker's user that sent the request. RabbitMQ verifies
it (https://www.rabbitmq.com/docs/validated-user-id), so only those who can log in as a user that a
rule names can pass the rule.

A server that drains publishes the requests that it hands back. So these carry the server's user,
and name the original user in a header. That header is believed only of trusted servers.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Final

from leveret.contract import MethodSpec, ServiceSpec
from leveret.errors import ContractError, InvalidArgument, PermissionDenied
from leveret.wire.context import CurrentCall
from leveret.wire.log_fields import fields_of, shown
from leveret.wire.message import Incoming

__all__ = ["Access", "Allow", "Guard"]

log = logging.getLogger("leveret.server")

Allow = Mapping[str, Iterable[str] | None] | Callable[[CurrentCall], bool]
"""What `serve(allow=...)` takes.

Either a mapping from "service.method", "service" or "*" to the users that may call, as names or
patterns (`fnmatch`); None means everybody, with or without a user. The most specific key counts,
and a method without a matching key is open to all. Or a function that is called for each call.
"""

Guard = Callable[[CurrentCall], None]
"""Raises `PermissionDenied` for a call that may not be made."""

_REMEMBERED: Final = 1024
_LOGGED: Final = 1000
"""How many refusals are logged, one per user and method."""


class Access:
    """The rules of one server.

    :param allow: who may call what; None: everybody may call everything.
    :param trusted_servers: other users, as names or patterns, that are believed whose requests they
        hand back. A server's own user is always trusted.
    :param operators: other users, as names or patterns, who may see and cancel the calls of all
        callers.
    :raises ContractError: if a rule names nothing that is served, or is not a list of names.
    """

    def __init__(
        self,
        allow: Allow | None,
        trusted_servers: Iterable[str],
        specs: Iterable[ServiceSpec],
        operators: Iterable[str] = (),
    ) -> None:
        specs = tuple(specs)
        self._trusts = _matcher("trusted_servers", trusted_servers)
        self._operates = _matcher("operators", operators)
        self._told: set[tuple[str, str]] = set()
        self._ask = allow if callable(allow) else None
        self._rules: dict[str, Callable[[str], bool] | None] = {}
        if self._ask is not None:
            if inspect.iscoroutinefunction(self._ask):
                raise ContractError(
                    "allow= takes a plain function; what has to wait is a middleware, which"
                    " raises PermissionDenied"
                )
        elif allow is not None:
            self._rules = _read_rules(allow, specs)

    def check_own_user(self, own_user: str) -> None:
        """Check that the rules can be applied.

        :param own_user: this server's own user, as the broker knows it.
        :raises InvalidArgument: if there are rules, but the server's own user is unknown.
        """
        if self._rules and not own_user:
            raise InvalidArgument(
                "allow= needs the name of the server's own user, to say on whose behalf it"
                " hands back requests: connect(user_id=...)"
            )

    def user_of(self, request: Incoming, own_user: str) -> str:
        """The user whose request it is; "" if that is unknown.

        :param own_user: this server's own user.
        """
        user, behalf = request.user, request.on_behalf_of
        if behalf is None:
            return user
        if user and (user == own_user or self._trusts(user)):
            return behalf
        # Else a caller could have a server that passes stages on act with the server's own rights.
        return "" if request.stage else user

    def operates(self, user: str, own_user: str) -> bool:
        """Whether this user may see and cancel the calls of all callers.

        :param own_user: this server's own user, who may.
        """
        return bool(user) and (user == own_user or self._operates(user))

    def guard(self, spec: MethodSpec) -> Guard | None:
        """The check of one method's calls; None if it is open to all."""
        if self._ask is not None:
            return self._asking(self._ask)
        for name in (spec.key, spec.service, "*"):
            if name in self._rules:
                matches = self._rules[name]
                return self._matching(matches) if matches is not None else None
        return None

    def _matching(self, matches: Callable[[str], bool]) -> Guard:
        matches = lru_cache(_REMEMBERED)(matches)

        def guard(call: CurrentCall) -> None:
            user = call.user
            # Who is nobody is none of those that are named, not even by "*".
            if not user or not matches(user):
                self._refuse(call)

        return guard

    def _asking(self, ask: Callable[[CurrentCall], object]) -> Guard:
        def guard(call: CurrentCall) -> None:
            try:
                answer = ask(call)
            except PermissionDenied:
                raise
            except Exception:
                log.exception(
                    "allow= failed for %s, which is refused", shown(call), extra=fields_of(call)
                )
                answer = False
            if inspect.iscoroutine(answer):
                answer.close()
            if answer is not True:  # whatever else may look like yes is a mistake
                self._refuse(call)

        return guard

    def _refuse(self, call: CurrentCall) -> None:
        user, key = call.user, call.method
        if len(self._told) < _LOGGED and (user, key) not in self._told:
            self._told.add((user, key))
            log.warning(
                "refused: %s may not call %s (logged once)",
                *(_shown(user), shown(call)),
                extra=fields_of(call),
            )
        if user:
            raise PermissionDenied(f"user {user!r} may not call this method")
        raise PermissionDenied(
            "the request does not say which user it is from, and this method is not for everybody."
            " A client that logs in with a certificate says it with connect(user_id=...)"
        )


def _read_rules(
    allow: object, specs: tuple[ServiceSpec, ...]
) -> dict[str, Callable[[str], bool] | None]:
    if not isinstance(allow, Mapping):
        raise ContractError(f"allow= is {allow!r}; it takes a mapping or a function")
    known = {"*"}
    for spec in specs:
        known.add(spec.name)
        known.update(method.key for method in spec.methods.values())
    rules: dict[str, Callable[[str], bool] | None] = {}
    for name, users in allow.items():
        if name not in known:
            raise ContractError(
                f"allow={{{name!r}: ...}}: nothing of that name is served; there are"
                f" {', '.join(sorted(known))}"
            )
        rules[name] = None if users is None else _matcher(f"allow={{{name!r}: ...}}", users)
    return rules


def _matcher(what: str, users: object) -> Callable[[str], bool]:
    """Whether a name matches one of the patterns: one regular expression for all of them."""
    if isinstance(users, (str, bytes)) or not isinstance(users, Iterable):
        raise ContractError(f"{what} is {users!r}; it takes a list of users' names or patterns")
    patterns = tuple(users)
    if not all(isinstance(pattern, str) and pattern for pattern in patterns):
        raise ContractError(f"{what} must be names or patterns; got {patterns!r}")
    if not patterns:
        return lambda _user: False
    match = re.compile("|".join(map(translate, patterns))).match
    return lambda user: match(user) is not None


def _shown(user: str) -> str:
    return f"user {user!r}" if user else "a caller without a user"
