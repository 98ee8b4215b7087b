"""The column and its foreign key alone: metadata only, the new column holds no value yet."""
import django.db.models.deletion
from django.db import migrations, models


def token(**options):
    return models.ForeignKey(
        null=True,
        on_delete=django.db.models.deletion.SET_NULL,
        to="chat.pushnotificationtoken",
        **options
    )


class Migration(migrations.Migration):
    dependencies = [("chat", "0001_initial")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.AddField("message", "push_notification_token", token(db_index=False)),
            ],
            state_operations=[
                migrations.AddField("message", "push_notification_token", token()),
            ],
        ),
    ]
