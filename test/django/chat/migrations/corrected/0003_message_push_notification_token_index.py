"""The index that the foreign key brings along, under the name Django gives it."""
from django.db import migrations

INDEX = "chat_message_push_notification_token_id_1ceb579c"


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("chat", "0002_message_push_notification_token")]
    operations = [
        migrations.RunSQL(
            'CREATE INDEX CONCURRENTLY "%s" ON "chat_message" ("push_notification_token_id")'
            % INDEX,
            'DROP INDEX CONCURRENTLY "%s"' % INDEX,
        ),
    ]
