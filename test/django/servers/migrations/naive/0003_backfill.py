"""Locations from their names; servers in batches, each committed by itself."""
from django.db import connection, migrations, models

BATCH = 500


def fill(apps, schema_editor):
    Location = apps.get_model("servers", "Location")
    Server = apps.get_model("servers", "Server")
    names = Server.objects.order_by().values_list("location_name", flat=True).distinct()
    Location.objects.bulk_create(
        [Location(name=name) for name in names], ignore_conflicts=True
    )
    last = Server.objects.aggregate(models.Max("id"))["id__max"] or 0
    with connection.cursor() as cursor:
        for start in range(0, last, BATCH):
            cursor.execute(
                'UPDATE "servers_server" s SET "location_id" = l."id"'
                ' FROM "servers_location" l'
                ' WHERE l."name" = s."location_name" AND s."location_id" IS NULL'
                ' AND s."id" > %s AND s."id" <= %s',
                [start, start + BATCH],
            )


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("servers", "0002_location")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
