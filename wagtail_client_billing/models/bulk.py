"""What was asked for many requests at once, and what became of each."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .billing import BillingRequest


class BulkJobQuerySet(models.QuerySet["BulkJob"]):
    def with_progress(self) -> Self:
        """Adds ``total`` and ``finished``, numbers of items."""
        over = Q(items__state=BulkItem.State.FINISHED)
        return self.annotate(total=Count("items"), finished=Count("items", filter=over))


class BulkJob(models.Model):
    """One action on many requests, done by the worker. Whoever started it may watch it."""

    class Kind(models.TextChoices):
        DELETE = "delete", _("Delete")
        SEND_AGAIN = "send_again", _("Send again")
        CHECK = "check", _("Check with Stripe")
        REMIND = "remind", _("Send reminder")

    # How many requests one job takes.
    MOST = 500

    # Made with the page that asked: pressing its button twice starts one job.
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(_("action"), max_length=12, choices=Kind.choices)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("started by"),
    )
    created_at = models.DateTimeField(_("started"), default=timezone.now)

    objects = BulkJobQuerySet.as_manager()

    class Meta:
        verbose_name = _("bulk job")
        verbose_name_plural = _("bulk jobs")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"


class BulkItem(models.Model):
    """One request of a job, and what became of it; ``uuid`` makes repeating it harmless."""

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting")
        WORKING = "working", _("In progress")
        FINISHED = "finished", _("Finished")

    class Result(models.TextChoices):
        DELETED = "deleted", _("Deleted")
        SENT = "sent", _("Sent again as a new request")
        REPEATED = "repeated", _("Not sent: it was sent again a few minutes ago")
        REMINDED = "reminded", _("Reminder queued")
        TOO_SOON = "too_soon", _("Not reminded: the client was, less than an hour ago")
        REMINDERS_OFF = "off", _("Not reminded: reminders are switched off")
        NEWS = "news", _("Stripe had news")
        NO_NEWS = "no_news", _("No news from Stripe")
        NOTHING_TO_ASK = "nothing", _("The client has not pressed Pay yet")
        PAID = "paid", _("Left as it was: the client has paid")
        PROCESSING = "processing", _("Left as it was: the client's bank is working on a payment")
        WAITING = "waiting", _("Stripe cannot be reached; it is tried again")
        LOST = "lost", _("Stripe cannot be asked: the account is unlinked or refuses its key")
        IN_DOUBT = "doubt", _("Left as it was: whether it was paid has to be reviewed first")
        CURRENCY = "currency", _("Not sent: the account cannot charge this currency")
        COPY = "copy", _("Left as it was: this installation may be a copy")
        NOT_CONNECTED = "unconnected", _("Not sent: no Stripe account is connected for this mode")
        NOT_ALLOWED = "not_allowed", _("Left as it was: its state does not allow this")
        BEING_CHANGED = "held", _("Left as it was: somebody else is changing it")
        FAILED = "failed", _("Left as it was: something went wrong")

    job = models.ForeignKey(BulkJob, on_delete=models.CASCADE, related_name="items")
    request = models.ForeignKey(BillingRequest, on_delete=models.PROTECT, related_name="+")
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.QUEUED)
    result = models.CharField(_("result"), max_length=12, choices=Result.choices, blank=True)
    made = models.ForeignKey(
        BillingRequest, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    claimed_at = models.DateTimeField(null=True, blank=True)
    next_try_at = models.DateTimeField(default=timezone.now)
    tries = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("bulk item")
        verbose_name_plural = _("bulk items")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["job", "request"], name="wcb_bulk_item_once"),
        ]
        indexes = [models.Index(fields=["state", "next_try_at"], name="wcb_bulk_item_due")]

    def __str__(self) -> str:
        return f"{self.job_id}/{self.request_id}"
