"""In a transaction of its own: reads all rows, blocks nobody."""
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("servers", "0004_server_location_check")]
    operations = [
        migrations.RunSQL(
            'ALTER TABLE "servers_server" VALIDATE CONSTRAINT "servers_server_location_id_set"',
            migrations.RunSQL.noop,
        ),
    ]
