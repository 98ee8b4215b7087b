"""Story 4: a foreign key written in ADD COLUMN, with and without a default."""
from django.db import models


class Queue(models.Model):
    name = models.CharField(max_length=100)


class Ticket(models.Model):
    title = models.CharField(max_length=200)
    previous_queue = models.ForeignKey(
        Queue, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    queue = models.ForeignKey(Queue, default=1, on_delete=models.PROTECT, db_index=False)
