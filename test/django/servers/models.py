"""Story 3: the text column location_name becomes a table."""
from django.db import models


class Location(models.Model):
    name = models.CharField(max_length=100, unique=True)


class Server(models.Model):
    name = models.CharField(max_length=100)
    location = models.ForeignKey(Location, on_delete=models.PROTECT, db_index=False)
