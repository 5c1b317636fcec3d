"""Leveret in web apps of ASGI: FastAPI, Starlette, Litestar and others.

    rabbit = leveret.connect(lazy=True)
    lifespan = Lifespan(rabbit, Stock())
    app = Starlette(lifespan=lifespan, routes=[Mount("/health", app=lifespan.health)])

`Lifespan` keeps the connection for as long as the app runs, and serves services beside it.
`problem_of` says what an HTTP client is told of an error. docs/web-frameworks.md has both in each
of the three frameworks. Nothing is imported but Leveret.
"""

from __future__ import annotations

from leveret.contrib.asgi.lifespan import Lifespan
from leveret.contrib.asgi.problems import Problem, problem_of

__all__ = ["Lifespan", "Problem", "problem_of"]
