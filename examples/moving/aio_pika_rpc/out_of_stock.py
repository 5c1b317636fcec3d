"""An error that travels by pickle: both sides must be able to import it from one place."""


class OutOfStock(Exception):
    pass
