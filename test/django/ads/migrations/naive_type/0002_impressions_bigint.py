"""A wider integer: the whole table is rewritten."""
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ads", "0001_initial")]
    operations = [
        migrations.AlterField(
            model_name="impressioncounter",
            name="impressions",
            field=models.BigIntegerField(default=0),
        ),
    ]
