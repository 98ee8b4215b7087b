"""In a transaction of its own: reads all rows, blocks nobody."""
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("users", "0004_user_team_constraint")]
    operations = [
        migrations.RunSQL(
            'ALTER TABLE "users_user" VALIDATE CONSTRAINT "users_user_team_id_fk"',
            migrations.RunSQL.noop,
        ),
    ]
