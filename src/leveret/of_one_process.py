"""What has to do with a connection stays in its process, and says so to whoever pickles it."""

from __future__ import annotations

from typing import Any, NoReturn, Self

__all__ = ["OfOneProcess"]


class OfOneProcess:
    """Base of connections and remotes: a copy is the same one, and there is no pickle of it.

    A deep copy of settings, or `dataclasses.asdict`, meets them as it meets functions. To copy the
    event loop and the sockets that they hold would break those.
    """

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r:.100} is of one process and cannot be pickled, and so not be sent to another"
            " one: connect in the other process, as by leveret.blocking.connect(), and make"
            " remotes there"
        )
