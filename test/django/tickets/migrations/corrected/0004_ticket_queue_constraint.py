"""The foreign key holds for new rows from here on."""
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("tickets", "0003_ticket_queue")]
    operations = [
        migrations.RunSQL(
            'ALTER TABLE "tickets_ticket" ADD CONSTRAINT "tickets_ticket_queue_id_fk"'
            ' FOREIGN KEY ("queue_id") REFERENCES "tickets_queue" ("id")'
            " DEFERRABLE INITIALLY DEFERRED NOT VALID",
            'ALTER TABLE "tickets_ticket" DROP CONSTRAINT "tickets_ticket_queue_id_fk"',
        ),
    ]
