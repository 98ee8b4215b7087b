"""The index becomes the constraint: no row is read."""
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ads", "0002_ads_ic_index")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    'ALTER TABLE "ads_impressioncounter" ADD CONSTRAINT "unique_ad_impression_date"'
                    ' UNIQUE USING INDEX "ads_ic_idx"',
                    'ALTER TABLE "ads_impressioncounter"'
                    ' DROP CONSTRAINT "unique_ad_impression_date"',
                ),
            ],
            state_operations=[
                migrations.AddConstraint(
                    model_name="impressioncounter",
                    constraint=models.UniqueConstraint(
                        fields=["ad_id", "impression_date"], name="unique_ad_impression_date"
                    ),
                ),
            ],
        ),
    ]
