from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("servers", "0006_server_location_required")]
    operations = [migrations.RemoveField(model_name="server", name="location_name")]
