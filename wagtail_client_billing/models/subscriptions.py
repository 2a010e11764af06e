"""What Stripe charges again and again, and what we asked Stripe to change about it."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from .billing import BillingRequest


class Subscription(models.Model):
    """What Stripe charges from the first payment on; values are copies of Stripe's.

    ``ask_at`` is when Stripe has to be asked again without anybody calling for it, and
    ``renewal_processing_since`` when a bank was first seen to work on a renewal.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", _("Active")
        TRIALING = "trialing", _("Trial")
        PAST_DUE = "past_due", _("Past due")
        UNPAID = "unpaid", _("Unpaid")
        PAUSED = "paused", _("Paused")
        INCOMPLETE = "incomplete", _("Incomplete")
        INCOMPLETE_EXPIRED = "incomplete_expired", _("Never started")
        CANCELED = "canceled", pgettext_lazy("subscription", "Cancelled")

    # Stripe will never charge these again.
    ENDED = (Status.CANCELED, Status.INCOMPLETE_EXPIRED)
    # Money that was due did not come.
    IN_ARREARS = (Status.PAST_DUE, Status.UNPAID)

    request = models.ForeignKey(
        BillingRequest, on_delete=models.PROTECT, related_name="subscriptions"
    )
    account_id = models.CharField(max_length=64)
    livemode = models.BooleanField()
    stripe_id = models.CharField(max_length=255)
    customer_id = models.CharField(max_length=255, blank=True)
    status = models.CharField(_("status"), max_length=30, choices=Status.choices)
    cancel_at_period_end = models.BooleanField(default=False)
    cancel_at = models.DateTimeField(_("ends"), null=True, blank=True)
    current_period_end = models.DateTimeField(_("next charge"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    renewal_processing_since = models.DateTimeField(null=True, blank=True)
    # When Stripe was asked for what stands here: an older answer changes nothing.
    read_at = models.DateTimeField(null=True, blank=True)
    ask_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        constraints = [
            models.UniqueConstraint(
                fields=["account_id", "stripe_id"], name="wcb_subscription_once"
            ),
        ]
        indexes = [models.Index(fields=["ask_at"], name="wcb_subscription_ask")]

    def __str__(self) -> str:
        return self.stripe_id

    @property
    def has_ended(self) -> bool:
        """Whether Stripe will never charge it again."""
        return self.status in self.ENDED

    @property
    def is_ending(self) -> bool:
        """Whether it goes on until a day that is known."""
        return not self.has_ended and (self.cancel_at_period_end or self.cancel_at is not None)


class SubscriptionChange(models.Model):
    """One thing that Stripe is asked to change about a subscription; the row comes first.

    The sweep repeats it until Stripe has confirmed or refused it.
    """

    class Kind(models.TextChoices):
        CANCEL_NOW = "cancel_now", _("Cancel now")
        CANCEL_LATER = "cancel_later", _("Cancel at the end of the period")
        KEEP = "keep", _("Do not cancel")
        SET_END = "set_end", _("Set the agreed end")

    class State(models.TextChoices):
        ASKING = "asking", _("Waiting for Stripe")
        DONE = "done", _("Confirmed by Stripe")
        REFUSED = "refused", _("Refused by Stripe")
        SUPERSEDED = "superseded", _("Replaced by a later change")

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="changes")
    kind = models.CharField(_("change"), max_length=15, choices=Kind.choices)
    # Of SET_END: when the subscription has to end, before the charge that would follow. Of KEEP:
    # the agreed end that staff have dropped by it.
    cancel_at = models.DateTimeField(null=True, blank=True)
    idempotency_key = models.CharField(max_length=255, unique=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.ASKING)
    error = models.CharField(_("error"), max_length=255, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    asked_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("change of a subscription")
        verbose_name_plural = _("changes of subscriptions")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["subscription"],
                condition=Q(state="asking"),
                name="wcb_one_change_a_subscription",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subscription_id}: {self.kind}"
