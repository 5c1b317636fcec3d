from django.db import models


class Price(models.Model):
    sku = models.CharField(max_length=40, unique=True)
    cents = models.PositiveIntegerField()
