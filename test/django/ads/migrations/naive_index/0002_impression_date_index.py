"""A plain index build blocks writers."""
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ads", "0001_initial")]
    operations = [
        migrations.AddIndex(
            model_name="impressioncounter",
            index=models.Index(fields=["impression_date"], name="ads_ic_date_idx"),
        ),
    ]
