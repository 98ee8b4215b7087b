"""Story 2: users must link to their teams."""
from django.db import models


class Team(models.Model):
    name = models.CharField(max_length=100)

    class Meta:
        db_table = "teams_team"


class User(models.Model):
    username = models.CharField(max_length=150, unique=True)
    team = models.ForeignKey(Team, null=True, on_delete=models.SET_NULL, db_index=False)

    class Meta:
        indexes = [models.Index(fields=["team"], name="users_user_team_idx")]
