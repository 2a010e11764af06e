"""What Stripe told us, what happened to a request, and who is still alive."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .billing import BillingRequest
from .connection import StripeConnection, WebhookEndpoint


class StripeEvent(models.Model):
    """One verified Stripe event in our inbox.

    Only ids are kept, as hints at what to ask Stripe about; the payload is never believed and
    never stored. *Given up* is what failed too often: it waits for staff, with its reason.
    """

    class State(models.TextChoices):
        RECEIVED = "received", _("Waiting")
        PROCESSED = "processed", _("Processed")
        NOT_OURS = "not_ours", _("Not ours")
        REFUSED = "refused", _("Refused")
        UNCHECKED = "unchecked", _("Not checked: account unlinked")
        PARKED = "parked", _("Given up")

    # One of the two: where it was delivered, or the account whose list of events named it.
    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.PROTECT, null=True, blank=True, related_name="events"
    )
    connection = models.ForeignKey(
        StripeConnection, on_delete=models.PROTECT, null=True, blank=True, related_name="events"
    )
    event_id = models.CharField(max_length=255)
    type = models.CharField(_("type"), max_length=100)
    account = models.CharField(_("account"), max_length=64, blank=True)
    livemode = models.BooleanField(_("live mode"))
    object_id = models.CharField(max_length=255, blank=True)
    payment_intent_id = models.CharField(max_length=255, blank=True)
    charge_id = models.CharField(max_length=255, blank=True)
    subscription_id = models.CharField(max_length=255, blank=True)
    invoice_id = models.CharField(max_length=255, blank=True)
    request_hint = models.CharField(max_length=255, blank=True)
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.RECEIVED
    )
    processed_at = models.DateTimeField(_("processed"), null=True, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now)
    last_error = models.CharField(max_length=255, blank=True)

    class Meta:
        verbose_name = _("Stripe event")
        verbose_name_plural = _("Stripe events")
        ordering = ["-received_at"]
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event_id"], name="wcb_event_once"),
            models.UniqueConstraint(
                fields=["connection", "event_id"],
                condition=Q(endpoint=None),
                name="wcb_listed_event_once",
            ),
            models.CheckConstraint(
                condition=Q(endpoint=None, connection__isnull=False)
                | Q(endpoint__isnull=False, connection=None),
                name="wcb_event_has_one_origin",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "next_try_at"], name="wcb_event_due"),
            models.Index(fields=["state", "received_at"], name="wcb_event_pruning"),
        ]

    def __str__(self) -> str:
        return self.event_id


class LogEntry(models.Model):
    """What happened to a request, why, by whom, on what evidence. The timeline is made of these.

    ``evidence`` holds ids and plain facts, never a secret. ``told_at`` is when the signals that
    follow from the entry had been sent.
    """

    class Action(models.TextChoices):
        CREATED = "created", _("Created")
        SENT = "sent", _("E-mail accepted")
        MAIL_FAILED = "mail_failed", _("E-mail failed")
        MAIL_DROPPED = "mail_dropped", _("E-mail not sent")
        MAIL_BOUNCED = "mail_bounced", _("E-mail bounced")
        REMINDED = "reminded", _("Reminder accepted")
        REMINDER_ASKED = "reminder_asked", _("Reminder asked for")
        RESENT = "resent", _("E-mail sent again")
        PAY_PRESSED = "pay_pressed", _("Pay pressed")
        PAYMENT_FAILED = "payment_failed", _("Payment failed")
        PROCESSING = "processing", _("Payment processing")
        PAYMENT = "payment", _("Payment received")
        MARKED_PAID = "marked_paid", _("Marked as paid outside Stripe")
        PAID = "paid", _("Paid")
        EXPIRED = "expired", _("Expired")
        EDITED = "edited", _("Edited")
        DELETED = "deleted", _("Deleted")
        RENEWED = "renewed", _("Renewed")
        TAKEN_BACK = "taken_back", _("Payment by hand taken back")
        HOLD = "hold", _("Change started")
        HOLD_LIFTED = "hold_lifted", _("Change given up")
        DEADLINE_MOVED = "deadline_moved", _("Deadline moved")
        REVIEW = "review", _("Needs review")
        REVIEWED = "reviewed", _("Reviewed")
        RENEWAL_FAILED = "renewal_failed", _("Renewal failed")
        SUBSCRIBED = "subscribed", _("Subscription started")
        CANCEL_PLANNED = "cancel_planned", _("Subscription will end")
        CANCEL_DROPPED = "cancel_dropped", _("Subscription goes on")
        CANCELED = "canceled", _("Subscription cancelled")
        CHANGE_REFUSED = "change_refused", _("Change of the subscription refused")
        REFUND_ASKED = "refund_asked", _("Refund started")
        REFUNDED = "refunded", _("Refunded")
        REFUND_FAILED = "refund_failed", _("Refund failed")
        DISPUTED = "disputed", _("Payment disputed")
        DISPUTE_CHANGED = "dispute_changed", _("Dispute changed")
        DISPUTE_CLOSED = "dispute_closed", _("Dispute closed")
        CHECKED = "checked", _("Checked with Stripe")

    class Cause(models.TextChoices):
        EDITOR = "editor", _("by an editor")
        CLIENT = "client", _("by the client")
        WEBHOOK = "webhook", _("after a Stripe event")
        RETURN_PAGE = "return_page", _("when the client came back")
        CHECK = "check", _("by Check with Stripe")
        SWEEP = "sweep", _("by the regular sweep")
        WORKER = "worker", _("by the worker")
        UNLINK = "unlink", _("because the account was unlinked")

    request = models.ForeignKey(
        BillingRequest, on_delete=models.PROTECT, related_name="log_entries"
    )
    action = models.CharField(_("action"), max_length=20, choices=Action.choices)
    cause = models.CharField(_("cause"), max_length=20, choices=Cause.choices)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    user_name = models.CharField(max_length=150, blank=True)
    at = models.DateTimeField(_("when"), default=timezone.now)
    old_status = models.CharField(max_length=10, blank=True)
    new_status = models.CharField(max_length=10, blank=True)
    evidence = models.JSONField(default=dict, blank=True)
    told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("log entry")
        verbose_name_plural = _("log entries")
        ordering = ["pk"]
        indexes = [models.Index(fields=["told_at", "id"], name="wcb_log_untold")]

    def __str__(self) -> str:
        return f"{self.request_id}: {self.action}"


class Heartbeat(models.Model):
    """When a task of ours last ran; rows, since processes need not share a cache."""

    name = models.CharField(max_length=50, unique=True)
    beat_at = models.DateTimeField()

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")

    def __str__(self) -> str:
        return self.name

    @classmethod
    def beat(cls, name: str) -> None:
        """Notes that the task is alive now."""
        cls.objects.update_or_create(name=name, defaults={"beat_at": timezone.now()})
