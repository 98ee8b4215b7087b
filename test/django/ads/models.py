"""Story 5: one counter per advertisement and day."""
from django.db import models


class ImpressionCounter(models.Model):
    ad_id = models.IntegerField()
    impression_date = models.DateField()
    impressions = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["ad_id", "impression_date"], name="unique_ad_impression_date"
            )
        ]
