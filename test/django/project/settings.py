"""
The stories' project.  MIGRATION_LINE chooses between the migrations as people
write them first ("naive") and as they should be ("corrected"); both lines of
an app start from the same 0001_initial.  An app without the line that is asked
for uses its corrected one.
"""
import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

STORY_APPS = ["chat", "users", "servers", "tickets", "ads"]
MIGRATION_LINE = os.environ.get("MIGRATION_LINE", "corrected")


def migration_module(app):
    line = MIGRATION_LINE
    if not (BASE_DIR / app / "migrations" / line).is_dir():
        line = "corrected"
    return "%s.migrations.%s" % (app, line)


INSTALLED_APPS = STORY_APPS
MIGRATION_MODULES = {app: migration_module(app) for app in STORY_APPS}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("PGDATABASE", "postgres"),
        "USER": os.environ.get("PGUSER", ""),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "HOST": os.environ.get("PGHOST", ""),
        "PORT": os.environ.get("PGPORT", ""),
    }
}

SECRET_KEY = "only the tests know it"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
