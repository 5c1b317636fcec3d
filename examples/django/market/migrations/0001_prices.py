from typing import Any

from django.db import migrations, models


def first_prices(apps: Any, _: Any) -> None:
    prices = apps.get_model("market", "Price").objects
    prices.create(sku="carrot", cents=30)
    prices.create(sku="hay", cents=500)


class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel(
            "Price",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("sku", models.CharField(max_length=40, unique=True)),
                ("cents", models.PositiveIntegerField()),
            ],
        ),
        migrations.RunPython(first_prices, migrations.RunPython.noop),
    ]
