"""Story 1: a message learns which push notification token it was sent with."""
from django.conf import settings
from django.db import models
from django.utils import timezone


class PushNotificationToken(models.Model):
    token = models.CharField(max_length=200, unique=True)


class Message(models.Model):
    text = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    if settings.MIGRATION_LINE != "through":
        push_notification_token = models.ForeignKey(
            PushNotificationToken, null=True, on_delete=models.SET_NULL
        )


if settings.MIGRATION_LINE == "through":

    class MessagePush(models.Model):
        message = models.OneToOneField(Message, on_delete=models.CASCADE)
        token = models.ForeignKey(PushNotificationToken, on_delete=models.CASCADE)
