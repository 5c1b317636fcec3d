"""The types of pipes: each stage takes the result of the one before it.

Python's types cannot say so for any number of stages, so each number has its own signature.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar, overload

P = ParamSpec("P")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")
J = TypeVar("J")
K = TypeVar("K")
L = TypeVar("L")
M = TypeVar("M")
N = TypeVar("N")
Q = TypeVar("Q")
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")
U = TypeVar("U")

Then: TypeAlias = Callable[[T], Awaitable[U]]
"""A stage after the first one."""
Pipe: TypeAlias = Callable[P, Coroutine[Any, Any, T]]
"""A pipe: it takes the arguments of its first stage, and returns the result of its last one."""


class MakesPipes(Protocol):
    """`rabbit.pipe(a, b, ...)`, of 2 to 16 stages."""

    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        /,
    ) -> Pipe[P, B]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        /,
    ) -> Pipe[P, C]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        /,
    ) -> Pipe[P, D]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        _5: Then[D, E],
        /,
    ) -> Pipe[P, E]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        _5: Then[D, E],
        _6: Then[E, F],
        /,
    ) -> Pipe[P, F]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        _5: Then[D, E],
        _6: Then[E, F],
        _7: Then[F, G],
        /,
    ) -> Pipe[P, G]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        _5: Then[D, E],
        _6: Then[E, F],
        _7: Then[F, G],
        _8: Then[G, H],
        /,
    ) -> Pipe[P, H]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        _5: Then[D, E],
        _6: Then[E, F],
        _7: Then[F, G],
        _8: Then[G, H],
        _9: Then[H, J],
        /,
    ) -> Pipe[P, J]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        _5: Then[D, E],
        _6: Then[E, F],
        _7: Then[F, G],
        _8: Then[G, H],
        _9: Then[H, J],
        _10: Then[J, K],
        /,
    ) -> Pipe[P, K]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        _5: Then[D, E],
        _6: Then[E, F],
        _7: Then[F, G],
        _8: Then[G, H],
        _9: Then[H, J],
        _10: Then[J, K],
        _11: Then[K, L],
        /,
    ) -> Pipe[P, L]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        _5: Then[D, E],
        _6: Then[E, F],
        _7: Then[F, G],
        _8: Then[G, H],
        _9: Then[H, J],
        _10: Then[J, K],
        _11: Then[K, L],
        _12: Then[L, M],
        /,
    ) -> Pipe[P, M]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        _5: Then[D, E],
        _6: Then[E, F],
        _7: Then[F, G],
        _8: Then[G, H],
        _9: Then[H, J],
        _10: Then[J, K],
        _11: Then[K, L],
        _12: Then[L, M],
        _13: Then[M, N],
        /,
    ) -> Pipe[P, N]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        _5: Then[D, E],
        _6: Then[E, F],
        _7: Then[F, G],
        _8: Then[G, H],
        _9: Then[H, J],
        _10: Then[J, K],
        _11: Then[K, L],
        _12: Then[L, M],
        _13: Then[M, N],
        _14: Then[N, Q],
        /,
    ) -> Pipe[P, Q]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        _5: Then[D, E],
        _6: Then[E, F],
        _7: Then[F, G],
        _8: Then[G, H],
        _9: Then[H, J],
        _10: Then[J, K],
        _11: Then[K, L],
        _12: Then[L, M],
        _13: Then[M, N],
        _14: Then[N, Q],
        _15: Then[Q, R],
        /,
    ) -> Pipe[P, R]: ...
    @overload
    def __call__(
        self,
        first: Callable[P, Awaitable[A]],
        _2: Then[A, B],
        _3: Then[B, C],
        _4: Then[C, D],
        _5: Then[D, E],
        _6: Then[E, F],
        _7: Then[F, G],
        _8: Then[G, H],
        _9: Then[H, J],
        _10: Then[J, K],
        _11: Then[K, L],
        _12: Then[L, M],
        _13: Then[M, N],
        _14: Then[N, Q],
        _15: Then[Q, R],
        _16: Then[R, S],
        /,
    ) -> Pipe[P, S]: ...
