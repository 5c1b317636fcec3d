"""Leveret in Django: one connection for each process, with Django's settings (the extra `django`).

    # settings.py
    INSTALLED_APPS = [..., "leveret.contrib.django"]
    LEVERET = {"URL": "amqp://...", "SERVICES": ["market.services:Prices"]}

    # views.py
    rabbit = get_rabbit()
    cents = rabbit.run(rabbit.remote(Prices).quote(sku, count))

`python manage.py runleveret` serves what SERVICES names. `leveret.contrib.django.testing` is for
tests.
"""

from leveret.contrib.django.connection import arun, get_rabbit
from leveret.contrib.django.database import uses_database

__all__ = ["arun", "get_rabbit", "uses_database"]
