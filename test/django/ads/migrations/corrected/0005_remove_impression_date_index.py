from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("ads", "0004_impression_date_index")]
    operations = [
        RemoveIndexConcurrently(model_name="impressioncounter", name="ads_ic_date_idx"),
    ]
