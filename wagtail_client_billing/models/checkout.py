"""Our record of Stripe's sessions, and of the money that moved."""

from django.conf import settings
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
        ]

    def __str__(self) -> str:
        return f"{self.request_id}/{self.n}"


class Subscription(models.Model):
    """What Stripe charges from the first payment on; values are copies of Stripe's."""

    request = models.ForeignKey(
        BillingRequest, on_delete=models.PROTECT, related_name="subscriptions"
    )
    account_id = models.CharField(max_length=64)
    livemode = models.BooleanField()
    stripe_id = models.CharField(max_length=255)
    status = models.CharField(max_length=30)
    cancel_at_period_end = models.BooleanField(default=False)
    current_period_end = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        constraints = [
            models.UniqueConstraint(
                fields=["account_id", "stripe_id"], name="wcb_subscription_once"
            ),
        ]

    def __str__(self) -> str:
        return self.stripe_id


class Payment(models.Model):
    """One movement of money in. ``source`` is the PaymentIntent, for subscriptions the invoice.

    ``duplicate`` marks money beyond what the request asked for. Amounts are in minor units.
    """

    class Kind(models.TextChoices):
        FIRST = "first", _("First payment")
        RENEWAL = "renewal", _("Renewal")
        BY_HAND = "by_hand", _("Marked by hand")

    request = models.ForeignKey(BillingRequest, on_delete=models.PROTECT, related_name="payments")
    attempt = models.ForeignKey(
        CheckoutAttempt,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="payments",
    )
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, null=True, blank=True, related_name="payments"
    )
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.FIRST)
    account_id = models.CharField(max_length=64)
    livemode = models.BooleanField()
    source = models.CharField(max_length=255)
    charge_id = models.CharField(max_length=255, blank=True)
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    method = models.CharField(_("method"), max_length=40, blank=True)
    last4 = models.CharField(max_length=4, blank=True)
    received_at = models.DateTimeField(_("received"))
    duplicate = models.BooleanField(_("duplicate"), default=False)
    note = models.CharField(_("note"), max_length=250, blank=True)
    taken_back_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        ordering = ["-received_at"]
        constraints = [
            models.UniqueConstraint(fields=["account_id", "source"], name="wcb_payment_once"),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0), name="wcb_payment_amount_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.source


class Refund(models.Model):
    """Money given back; the row and its key exist before Stripe is asked."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    stripe_id = models.CharField(max_length=255, unique=True, null=True, blank=True)
    idempotency_key = models.CharField(max_length=255, unique=True, null=True, blank=True)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=20, default="creating")
    reason = models.CharField(max_length=250, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")

    def __str__(self) -> str:
        return self.stripe_id or f"refund {self.pk}"


class Dispute(models.Model):
    """A payment that the payer's bank has called into question; values are copies of Stripe's."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="disputes")
    stripe_id = models.CharField(max_length=255, unique=True)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=40)
    reason = models.CharField(max_length=60, blank=True)
    due_by = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("dispute")
        verbose_name_plural = _("disputes")

    def __str__(self) -> str:
        return self.stripe_id
