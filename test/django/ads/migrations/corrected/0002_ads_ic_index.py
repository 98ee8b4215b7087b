"""The index of the constraint first, without blocking anybody."""
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("ads", "0001_initial")]
    operations = [
        migrations.RunSQL(
            'CREATE UNIQUE INDEX CONCURRENTLY "ads_ic_idx"'
            ' ON "ads_impressioncounter" ("ad_id", "impression_date")',
            'DROP INDEX CONCURRENTLY IF EXISTS "ads_ic_idx"',
        ),
    ]
