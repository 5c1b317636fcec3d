"""An HTTP API that calls the service: `litestar --app library_api:app run`."""

from library import Book, Library
from litestar import Litestar, Response, asgi, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, SkipValidation

import leveret
from leveret.contrib.asgi import Lifespan, problem_of

STATUSES = {"NO_SUCH_BOOK": 404}


@post("/books")
async def add(data: JSONBody[Book], library: NamedDependency[SkipValidation[Library]]) -> Book:
    return await library.add(data)


@get("/books/{isbn:str}")
async def find(isbn: FromPath[str], library: NamedDependency[SkipValidation[Library]]) -> Book:
    return await library.find(isbn)


def on_leveret_error(request: object, error: leveret.LeveretError) -> Response[bytes]:
    problem = problem_of(error, STATUSES)
    return Response(problem.body, status_code=problem.status, headers=problem.headers)


def make_app(rabbit: leveret.Rabbit) -> Litestar:
    lifespan = Lifespan(rabbit)
    remote_library = rabbit.remote(Library)

    def library() -> Library:
        return remote_library

    return Litestar(
        [add, find, asgi("/health", is_mount=True, copy_scope=True)(lifespan.health)],
        dependencies={"library": Provide(library, sync_to_thread=False)},
        lifespan=[lifespan],
        exception_handlers={leveret.LeveretError: on_leveret_error},
    )


app = make_app(leveret.connect(lazy=True, name="library-api"))  # to the broker of LEVERET_URL
