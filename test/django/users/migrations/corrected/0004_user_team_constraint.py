"""The foreign key holds for new rows from here on; the old ones are not looked at yet."""
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("users", "0003_user_team_index")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    'ALTER TABLE "users_user" ADD CONSTRAINT "users_user_team_id_fk"'
                    ' FOREIGN KEY ("team_id") REFERENCES "teams_team" ("id")'
                    " DEFERRABLE INITIALLY DEFERRED NOT VALID",
                    'ALTER TABLE "users_user" DROP CONSTRAINT "users_user_team_id_fk"',
                ),
            ],
            state_operations=[
                migrations.AlterField(
                    model_name="user",
                    name="team",
                    field=models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="users.team",
                    ),
                ),
            ],
        ),
    ]
