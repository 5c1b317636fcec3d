"""What is entered with `async with` alone says so to whoever writes `with`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["AsyncOnly"]


class AsyncOnly:
    """Base of what has `__aenter__`: a plain `with` is an error that says what to write.

    Type checkers do not see its methods, and so refuse `with` as well.
    """

    if not TYPE_CHECKING:
        # Python looks for both before it calls one.

        def __enter__(self) -> Any:
            """:raises TypeError: always."""
            raise TypeError(
                f"a {type(self).__name__} is entered with `async with`, not with `with`"
            )

        def __exit__(self, *error: object) -> None:
            """Never called."""
