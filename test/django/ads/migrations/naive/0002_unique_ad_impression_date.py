"""As makemigrations writes it: the index is built while nobody may read or write."""
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ads", "0001_initial")]
    operations = [
        migrations.AddConstraint(
            model_name="impressioncounter",
            constraint=models.UniqueConstraint(
                fields=["ad_id", "impression_date"], name="unique_ad_impression_date"
            ),
        ),
    ]
