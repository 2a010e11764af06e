"""Our record of Stripe's sessions."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .billing import BillingRequest


class CheckoutAttempt(models.Model):
    """Our record of one Stripe Checkout Session.

    Account, mode, amount, currency, parameters and idempotency key are frozen before Stripe is
    called, so that asking again can only find the same session. Amounts are in minor units.
    """

    class State(models.TextChoices):
        CREATING = "creating", _("Being created")
        OPEN = "open", _("Open")
        PROCESSING = "processing", _("Processing")
        COMPLETE = "complete", _("Complete")
        EXPIRED = "expired", _("Expired")
        FAILED = "failed", _("Failed")

    LIVE = (State.CREATING, State.OPEN, State.PROCESSING)

    request = models.ForeignKey(
        BillingRequest, on_delete=models.PROTECT, related_name="attempts", verbose_name=_("request")
    )
    n = models.PositiveIntegerField(_("number"))
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.CREATING
    )
    account_id = models.CharField(_("account"), max_length=64)
    livemode = models.BooleanField(_("live mode"))
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    params = models.JSONField(default=dict)
    idempotency_key = models.CharField(max_length=255, unique=True)
    session_id = models.CharField(max_length=255, unique=True, null=True, blank=True)
    payment_intent_id = models.CharField(max_length=255, blank=True)
    subscription_id = models.CharField(max_length=255, blank=True)
    url = models.URLField(max_length=2000, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("ends"))
    asked_at = models.DateTimeField(_("asked Stripe"), null=True, blank=True)
    checked_at = models.DateTimeField(_("answered by Stripe"), null=True, blank=True)
    not_confirmed = models.BooleanField(_("not confirmed by Stripe"), default=False)
    error = models.CharField(_("error"), max_length=255, blank=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["request", "n"]
        constraints = [
            models.UniqueConstraint(fields=["request", "n"], name="wcb_attempt_number"),
            models.UniqueConstraint(
                fields=["request"],
                condition=Q(state__in=["creating", "open", "processing"]),
                name="wcb_one_live_attempt_a_request",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "expires_at"], name="wcb_attempt_state_ends"),
            models.Index(fields=["payment_intent_id"], name="wcb_attempt_intent"),
            models.Index(fields=["subscription_id"], name="wcb_attempt_subscription"),
        ]

    def __str__(self) -> str:
        return f"{self.request_id}/{self.n}"
