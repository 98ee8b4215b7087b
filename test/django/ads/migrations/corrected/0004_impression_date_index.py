from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("ads", "0003_unique_ad_impression_date")]
    operations = [
        AddIndexConcurrently(
            model_name="impressioncounter",
            index=models.Index(fields=["impression_date"], name="ads_ic_date_idx"),
        ),
    ]
