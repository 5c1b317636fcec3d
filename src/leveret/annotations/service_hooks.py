"""The hooks of a service, put into its annotations: so these say all that a codec needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, get_args, get_origin

from leveret.annotations.hooks import Hook, class_name, hooks_at, hooks_of
from leveret.annotations.metadata import of_pydantic
from leveret.annotations.parts import parts, with_parts

__all__ = ["idle_hooks", "with_hooks", "without_hooks"]


def with_hooks(annotation: Any, hooks: Iterable[Hook[Any]]) -> Any:
    """Return the annotation with those of the hooks that it has types for: itself, if it has none.

    A hook that the annotation has already comes before one for the same type.

    :raises TypeError: if it does so in some places of that type only.
    """
    if of_pydantic(annotation):
        return _beside_types(annotation, hooks)
    own = hooks_of(annotation)
    given = {hook.type: hook for hook in hooks}
    found: dict[type, Hook[Any]] = {}
    left = [annotation, *(hook.wire for hook in own.values())]
    while left:
        for node in _classes(left.pop()):
            hook = given.get(node)
            if hook is None or node in found:
                continue
            if node not in own:
                found[node] = hook
                left.append(hook.wire)
            elif own[node] is not hook and _is_bare_somewhere(annotation, node):
                raise TypeError(
                    f"{class_name(node)} has {own[node]!r} in one place of it, and {hook!r} of the "
                    "service in another; write it in all places, or in none"
                )
    return Annotated[(annotation, *found.values())] if found else annotation


def without_hooks(annotation: Any) -> Any:
    """Return the annotation as people read it: without the hooks around it."""
    if not hooks_at(annotation):
        return annotation
    kept = [item for item in annotation.__metadata__ if not isinstance(item, Hook)]
    inside = get_args(annotation)[0]
    return Annotated[(inside, *kept)] if kept else inside


def idle_hooks(annotation: Any) -> Iterator[Hook[Any]]:
    """Yield the hooks in an annotation that stand where their types are not."""
    for node, _ in parts(annotation):
        if hooks := hooks_at(node):
            around = (get_args(node)[0], *(hook.wire for hook in hooks))
            inside = {cls for part in around for cls in _classes(part)}
            yield from (hook for hook in hooks if hook.type not in inside)


def _beside_types(annotation: Any, hooks: Iterable[Hook[Any]]) -> Any:
    """Return the annotation with each hook beside its type, where pydantic looks for it."""
    given = {hook.type: hook for hook in hooks}

    def change(part: Any) -> Any:
        if hooks_at(part):
            return part
        hook = given.get(part) if isinstance(part, type) else None
        return Annotated[part, hook] if hook else with_parts(part, change)

    return change(annotation)


def _classes(annotation: Any) -> Iterator[type]:
    for node, _ in parts(annotation):
        cls = get_origin(node) or node
        if isinstance(cls, type):
            yield cls


def _is_bare_somewhere(annotation: Any, cls: type) -> bool:
    """Whether a class stands somewhere in an annotation without a hook around or beside it."""
    if any(hook.type is cls for hook in hooks_at(annotation)):
        return False
    nodes = [node for node, _ in parts(annotation)]
    beside = [
        node
        for node in nodes
        if any(hook.type is cls for hook in hooks_at(node)) and get_args(node)[0] is cls
    ]
    return sum(node is cls for node in nodes) > len(beside)
