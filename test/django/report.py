#!/usr/bin/env python3
"""
Run one management command and print, as one line of JSON, what the server
said about it: {"ok": true}, or the exception that Django raised with the
fields of the server's error.  `manage.py` shows the message; this shows the
SQLSTATE and the object fields as a program would see them.
"""
import io
import json
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

import django  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.utils import Error  # noqa: E402

django.setup()
result = {"ok": True}
try:
    call_command(*sys.argv[1:], stdout=io.StringIO())
except Error as error:
    diag = error.__cause__.diag
    result = {
        "ok": False,
        "exception": type(error).__module__ + "." + type(error).__name__,
        "sqlstate": error.__cause__.pgcode,
        "message": diag.message_primary,
        "detail": diag.message_detail,
        "hint": diag.message_hint,
        "schema": diag.schema_name,
        "table": diag.table_name,
        "column": diag.column_name,
        "constraint": diag.constraint_name,
    }
if connection.connection is not None:
    result["notices"] = connection.connection.notices
print(json.dumps(result))
