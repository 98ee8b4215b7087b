"""As makemigrations writes it: column, foreign key and index in one transaction."""
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0001_initial")]
    operations = [
        migrations.AddField(
            model_name="message",
            name="push_notification_token",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                to="chat.pushnotificationtoken",
            ),
        ),
    ]
