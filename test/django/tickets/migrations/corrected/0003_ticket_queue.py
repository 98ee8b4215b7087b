"""The column with its constant default: stored once for all rows, nothing is rewritten."""
import django.db.models.deletion
from django.db import migrations, models


def queue(**options):
    return models.ForeignKey(
        db_index=False,
        default=1,
        on_delete=django.db.models.deletion.PROTECT,
        to="tickets.queue",
        **options
    )


class Migration(migrations.Migration):
    dependencies = [("tickets", "0002_ticket_previous_queue")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.AddField("ticket", "queue", queue(db_constraint=False)),
            ],
            state_operations=[migrations.AddField("ticket", "queue", queue())],
        ),
    ]
