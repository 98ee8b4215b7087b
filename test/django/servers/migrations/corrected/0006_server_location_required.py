"""The valid CHECK proves it: SET NOT NULL reads nothing.  Only then may the CHECK go."""
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("servers", "0005_server_location_validate")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    'ALTER TABLE "servers_server" ALTER COLUMN "location_id" SET NOT NULL',
                    'ALTER TABLE "servers_server" ALTER COLUMN "location_id" DROP NOT NULL',
                ),
                migrations.RunSQL(
                    'ALTER TABLE "servers_server" DROP CONSTRAINT "servers_server_location_id_set"',
                    'ALTER TABLE "servers_server" ADD CONSTRAINT "servers_server_location_id_set"'
                    ' CHECK ("location_id" IS NOT NULL) NOT VALID',
                ),
            ],
            state_operations=[
                migrations.AlterField(
                    model_name="server",
                    name="location",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="servers.location",
                    ),
                ),
            ],
        ),
    ]
