"""A default that is not NULL: the server looks up every row."""
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tickets", "0002_ticket_previous_queue")]
    operations = [
        migrations.AddField(
            model_name="ticket",
            name="queue",
            field=models.ForeignKey(
                db_index=False,
                default=1,
                on_delete=django.db.models.deletion.PROTECT,
                to="tickets.queue",
            ),
        ),
    ]
