"""Compares the bodies in two descriptions of a method. Pure.

The direction counts. Clients with the old contract send arguments and uploaded items, and servers
with the new one must take all of them: their types may only widen. Servers with the new contract
send results, streamed items and errors, and clients with the old one must take them: their types
may only narrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from leveret.contract.changes import Change, Level
from leveret.contract.fitting import Misfit, Why, misfits
from leveret.contract.typed_schema import Typed

__all__ = ["diff_bodies"]

Method: TypeAlias = Mapping[str, Any]
_NONE: Final = object()


def diff_bodies(key: str, old: Method, new: Method) -> Iterator[Change]:
    """The changes in arguments, result, errors and upload.

    :param key: "service.method".
    :param old: the method's entry in `service_schema`.
    :param new: its new entry.
    """
    yield from _arguments(key, old, new)
    yield from _upload(key, old, new)
    if bool(old.get("streams")) == bool(new.get("streams")):
        what = "item" if new.get("streams") else "result"
        yield from _given(key, "result", what, old.get("result", {}), new.get("result", {}))
    yield from _errors(key, old.get("errors", {}), new.get("errors", {}))


# -- what servers take -------------------------------------------------------------------------


def _arguments(key: str, old: Method, new: Method) -> Iterator[Change]:
    before, after = (Typed(m["arguments"], m["arguments"]) for m in (old, new))
    had, has = before.parts("properties"), after.parts("properties")
    needed, needs = set(before.required()), set(after.required())
    for name in had.keys() - has.keys():
        text = f"the argument {name} is gone: servers refuse calls that give it"
        yield _change(Level.BREAK, key, "argument-removed", text)
    for name in has.keys() - had.keys():
        if name in needs:
            text = f"the argument {name} is new and has no default: servers refuse calls without it"
            yield _change(Level.BREAK, key, "argument-required", text)
        else:
            yield _change(Level.FINE, key, "argument-added", f"the argument {name} is new")
    for name, argument in had.items():
        if name not in has:
            continue
        yield from _taken(key, f"argument {name}", argument, has[name])
        if name in needs - needed:
            text = f"the argument {name} has no default any more: servers refuse calls without it"
            yield _change(Level.BREAK, key, "argument-required", text)
        elif name in needed - needs:
            yield _change(
                Level.FINE, key, "argument-optional", f"the argument {name} can be left out now"
            )
        elif name not in needed:
            yield from _default(key, name, old, new)
    yield from _places(key, old, new)


def _default(key: str, name: str, old: Method, new: Method) -> Iterator[Change]:
    before, after = (m["arguments"]["properties"][name].get("default", _NONE) for m in (old, new))
    if before != after:
        shown = " and ".join("another" if it is _NONE else repr(it) for it in (before, after))
        text = f"the default of {name} changed: calls that leave it out mean something else"
        yield _change(Level.WARNING, key, "default-changed", f"{text} ({shown})")


def _places(key: str, old: Method, new: Method) -> Iterator[Change]:
    """Changes for callers in Python with the new class only, as arguments travel by name."""
    before, after = _by_position(old), _by_position(new)
    kept = [name for name in before if name in after]
    for name in new.get("keyword_only", ()):
        if name in before:
            text = f"the argument {name} goes by keyword only: who has the new class must write it"
            yield _change(Level.WARNING, key, "argument-place", text)
    if after[: len(kept)] != kept:
        text = "arguments changed places: by position, who has the new class gives others"
        yield _change(Level.WARNING, key, "argument-place", text)


def _by_position(method: Method) -> list[str]:
    """The arguments that can be given by position, in their order."""
    by_keyword = method.get("keyword_only", ())
    return [name for name in method["arguments"].get("properties", {}) if name not in by_keyword]


def _taken(key: str, what: str, old: Typed, new: Typed) -> Iterator[Change]:
    found = misfits(old, new)
    for one in found:
        if one.why is Why.UNREAD:
            text = f"{_said(what, one)} any more"
            yield _change(Level.WARNING, key, "argument-unread", text)
        else:
            text = f"{_said(what, one)}: clients may send that, and servers refuse it"
            yield _change(Level.BREAK, key, "argument-narrower", text)
    if not found and _breaks(misfits(new, old)):
        yield _change(Level.FINE, key, "argument-wider", f"{what} may be more than it could")


def _upload(key: str, old: Method, new: Method) -> Iterator[Change]:
    before, after = old.get("upload"), new.get("upload")
    if before is None and after is None:
        return
    if before is None or after is None or before["name"] != after["name"]:
        names = [f"takes {it['name']} item by item" if it else "takes no items"
                 for it in (before, after)]  # fmt: skip
        text = f"it {names[0]} at clients, and {names[1]} at servers"
        yield _change(Level.BREAK, key, "upload-changed", text)
        return
    one, other = (Typed(it["item"], it["item"]) for it in (before, after))
    yield from _taken(key, f"items of {after['name']}", one, other)


# -- what servers give -------------------------------------------------------------------------


def _given(
    key: str, rule: str, what: str, old: dict[str, Any], new: dict[str, Any]
) -> Iterator[Change]:
    before, after = Typed(old, old), Typed(new, new)
    found = _breaks(misfits(after, before))
    for one in found:
        if one.why is Why.ABSENT:
            text = f"{_said(what, one)}: then clients refuse it"
            yield _change(Level.WARNING, key, f"{rule}-absent", text)
        else:
            text = f"{_said(what, one)}: servers may send that, and clients refuse it"
            yield _change(Level.BREAK, key, f"{rule}-wider", text)
    if not found and _breaks(misfits(before, after)):
        yield _change(Level.FINE, key, f"{rule}-narrower", f"the {what} may be less than it could")


def _errors(
    key: str, old: Mapping[str, dict[str, Any]], new: Mapping[str, dict[str, Any]]
) -> Iterator[Change]:
    for code in new.keys() - old.keys():
        text = f"it declares the error {code}: clients get a RemoteError that nobody expects"
        yield _change(Level.BREAK, key, "error-added", text)
    for code in old.keys() - new.keys():
        text = f"it declares the error {code} no more"
        yield _change(Level.FINE, key, "error-removed", text)
    for code in new.keys() & old.keys():
        yield from _given(key, "error", f"error {code}", old[code], new[code])


def _breaks(found: list[Misfit]) -> list[Misfit]:
    """The misfits in members that nobody reads."""
    return [one for one in found if one.why is not Why.UNREAD]


def _said(what: str, found: Misfit) -> str:
    """The text of a misfit, with the name of what it is in."""
    if found.text.startswith("$"):
        return f"{what}{found.text[1:]}"
    return f"{what}: {found.text}"


def _change(level: Level, key: str, rule: str, text: str) -> Change:
    return Change(level=level, method=key, rule=rule, text=text)
