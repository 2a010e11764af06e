"""The money that moved: in, back, and called into question."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .billing import BillingRequest
from .checkout import CheckoutAttempt
from .subscriptions import Subscription


class PaymentQuerySet(models.QuerySet["Payment"]):
    def counted(self) -> Self:
        """Money that counts: neither taken back nor waiting for a person to accept it."""
        return self.filter(taken_back_at=None, mismatch=False)

    def from_stripe(self) -> Self:
        """Money that came through Stripe, whatever it is worth to us."""
        return self.exclude(kind=Payment.Kind.BY_HAND)

    def with_refunded(self) -> Self:
        """Adds ``refunded_sum``, in minor units: what was given back or is on its way back."""
        given_back = Sum("refunds__amount_minor", filter=Q(refunds__state__in=Refund.COUNTS))
        return self.annotate(refunded_sum=Coalesce(given_back, 0))


class Payment(models.Model):
    """One movement of money in. ``source`` is the PaymentIntent, for subscriptions the invoice.

    ``duplicate`` marks money beyond what the request asked for, ``mismatch`` money that is not
    what the attempt asked for and that nobody has accepted. Amounts are in minor units. ``ask_at``
    is when Stripe has to be asked again about what became of it.
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
    intent_id = models.CharField(max_length=255, blank=True)
    charge_id = models.CharField(max_length=255, blank=True)
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    method = models.CharField(_("method"), max_length=40, blank=True)
    last4 = models.CharField(max_length=4, blank=True)
    received_at = models.DateTimeField(_("received"))
    # What a subscription's payment is for.
    period_start = models.DateTimeField(null=True, blank=True)
    period_end = models.DateTimeField(null=True, blank=True)
    duplicate = models.BooleanField(_("duplicate"), default=False)
    mismatch = models.BooleanField(_("mismatch"), default=False)
    note = models.CharField(_("note"), max_length=250, blank=True)
    taken_back_at = models.DateTimeField(null=True, blank=True)
    ask_at = models.DateTimeField(null=True, blank=True)

    objects = PaymentQuerySet.as_manager()

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
        indexes = [
            models.Index(fields=["intent_id"], name="wcb_payment_intent"),
            models.Index(fields=["ask_at"], name="wcb_payment_ask"),
        ]

    def __str__(self) -> str:
        return self.source

    @property
    def refunded_minor(self) -> int:
        """What was given back or is on its way back, in minor units."""
        annotated = self.__dict__.get("refunded_sum")
        if annotated is not None:
            return int(annotated)
        given_back = self.refunds.filter(state__in=Refund.COUNTS)
        return int(given_back.aggregate(sum=Sum("amount_minor"))["sum"] or 0)

    @property
    def refundable_minor(self) -> int:
        """What could still be given back through Stripe, in minor units."""
        if self.kind == self.Kind.BY_HAND or not self.intent_id:
            return 0
        return max(0, self.amount_minor - self.refunded_minor)


class Refund(models.Model):
    """Money given back; the row and its key exist before Stripe is asked.

    Refunds that were made at Stripe have no key of ours.
    """

    class State(models.TextChoices):
        CREATING = "creating", _("Waiting for Stripe")
        PENDING = "pending", _("On its way")
        REQUIRES_ACTION = "requires_action", _("Waiting for the client")
        SUCCEEDED = "succeeded", _("Refunded")
        FAILED = "failed", _("Failed")
        CANCELED = "canceled", _("Cancelled")
        REFUSED = "refused", _("Refused by Stripe")

    # What the client has back, or will have unless it fails.
    COUNTS = (State.CREATING, State.PENDING, State.REQUIRES_ACTION, State.SUCCEEDED)
    # What Stripe may still change its mind about.
    UNSETTLED = (State.CREATING, State.PENDING, State.REQUIRES_ACTION)

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    stripe_id = models.CharField(max_length=255, unique=True, null=True, blank=True)
    idempotency_key = models.CharField(max_length=255, unique=True, null=True, blank=True)
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    state = models.CharField(
        _("state"), max_length=20, choices=State.choices, default=State.CREATING
    )
    reason = models.CharField(_("reason"), max_length=250, blank=True)
    error = models.CharField(_("error"), max_length=255, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    asked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        ordering = ["pk"]
        indexes = [models.Index(fields=["state", "asked_at"], name="wcb_refund_due")]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0), name="wcb_refund_amount_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.stripe_id or f"refund {self.pk}"


class Dispute(models.Model):
    """A payment that the payer's bank has called into question; values are copies of Stripe's."""

    class State(models.TextChoices):
        WARNING_NEEDS_RESPONSE = "warning_needs_response", _("Inquiry: answer it")
        WARNING_UNDER_REVIEW = "warning_under_review", _("Inquiry under review")
        WARNING_CLOSED = "warning_closed", _("Inquiry closed")
        NEEDS_RESPONSE = "needs_response", _("Answer it")
        UNDER_REVIEW = "under_review", _("Under review")
        WON = "won", _("Won")
        LOST = "lost", _("Lost")
        PREVENTED = "prevented", _("Prevented")

    CLOSED = (State.WARNING_CLOSED, State.WON, State.LOST, State.PREVENTED)
    # Somebody has to do something before ``due_by``.
    NEEDS_ANSWER = (State.NEEDS_RESPONSE, State.WARNING_NEEDS_RESPONSE)

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="disputes")
    stripe_id = models.CharField(max_length=255, unique=True)
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    # Stripe may know states that this list does not.
    state = models.CharField(_("state"), max_length=40)
    reason = models.CharField(_("reason"), max_length=60, blank=True)
    due_by = models.DateTimeField(_("answer by"), null=True, blank=True)
    created_at = models.DateTimeField(_("opened"), default=timezone.now)

    class Meta:
        verbose_name = _("dispute")
        verbose_name_plural = _("disputes")
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.stripe_id

    @property
    def is_closed(self) -> bool:
        """Whether its outcome is known."""
        return self.state in self.CLOSED

    @property
    def state_words(self) -> str:
        """The state in words, or Stripe's own code where we have none."""
        labels = dict(self.State.choices)
        return str(labels.get(self.state) or self.state)
