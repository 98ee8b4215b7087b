"""New rows must have a location from here on; the old ones are not looked at yet."""
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("servers", "0003_backfill")]
    operations = [
        migrations.RunSQL(
            'ALTER TABLE "servers_server" ADD CONSTRAINT "servers_server_location_id_set"'
            ' CHECK ("location_id" IS NOT NULL) NOT VALID',
            'ALTER TABLE "servers_server" DROP CONSTRAINT "servers_server_location_id_set"',
        ),
    ]
