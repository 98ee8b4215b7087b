from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("users", "0003_user_team_constraint")]
    operations = [
        migrations.AddIndex(
            model_name="user",
            index=models.Index(fields=["team"], name="users_user_team_idx"),
        ),
    ]
