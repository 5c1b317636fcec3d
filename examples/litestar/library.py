"""The service, and what travels: `leveret serve library:Library`."""

import msgspec

from leveret import DeclaredError, Service, method


class Book(msgspec.Struct):
    isbn: str
    title: str


class NoSuchBook(DeclaredError):
    """The library does not have this book."""

    isbn: str


class Library(Service):
    def __init__(self) -> None:
        self._books: dict[str, Book] = {}

    @method(idempotent=True)
    async def add(self, book: Book) -> Book:
        self._books[book.isbn] = book
        return book

    @method(idempotent=True, raises=[NoSuchBook])
    async def find(self, isbn: str) -> Book:
        if isbn not in self._books:
            raise NoSuchBook(isbn)
        return self._books[isbn]
