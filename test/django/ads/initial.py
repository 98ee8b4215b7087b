"""The table of story 5 before the migration."""
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="ImpressionCounter",
            fields=[
                (
                    "id",
                    models.AutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ad_id", models.IntegerField()),
                ("impression_date", models.DateField()),
                ("impressions", models.IntegerField(default=0)),
            ],
        ),
    ]
