"""In a transaction of its own: reads all rows, blocks nobody."""
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tickets", "0004_ticket_queue_constraint")]
    operations = [
        migrations.RunSQL(
            'ALTER TABLE "tickets_ticket" VALIDATE CONSTRAINT "tickets_ticket_queue_id_fk"',
            migrations.RunSQL.noop,
        ),
    ]
