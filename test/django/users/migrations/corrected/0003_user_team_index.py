"""The index first, without blocking writers."""
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("users", "0002_user_team")]
    operations = [
        AddIndexConcurrently(
            model_name="user",
            index=models.Index(fields=["team"], name="users_user_team_idx"),
        ),
    ]
