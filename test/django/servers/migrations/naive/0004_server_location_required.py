"""SET NOT NULL without a proof reads every row while nobody may read or write."""
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("servers", "0003_backfill")]
    operations = [
        migrations.AlterField(
            model_name="server",
            name="location",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                to="servers.location",
            ),
        ),
        migrations.RemoveField(model_name="server", name="location_name"),
    ]
