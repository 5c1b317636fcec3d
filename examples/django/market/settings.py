"""As `django-admin startproject` has them, with fewer apps; what is Leveret's stands last."""

import os
from pathlib import Path

SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-development")
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
INSTALLED_APPS = ["market", "leveret.contrib.django"]
ROOT_URLCONF = "market.urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", Path(__file__).parents[1] / "db.sqlite3"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LEVERET = {
    "URL": os.environ.get("LEVERET_URL"),  # None is RabbitMQ on this machine
    "OPTIONS": {"timeout": 5},
    "SERVICES": ["market.services:Prices"],
}
