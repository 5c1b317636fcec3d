"""An error that Celery finds by the name of its module, which both sides import."""


class OutOfStock(Exception):
    pass
