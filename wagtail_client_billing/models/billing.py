"""The billing request."""

import secrets
import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from wagtail.models import Site

SHORTEST_LIFETIME = timedelta(hours=1)
LONGEST_LIFETIME = timedelta(days=90)


def new_token() -> str:
    """256 random bits: the payment link is a capability to pay this one bill."""
    return secrets.token_urlsafe(32)


def _sum_of(rows: "models.QuerySet[Any]", by: str) -> Coalesce:
    """The sum of amounts in minor units; a request has one currency."""
    summed = rows.order_by().values(by).annotate(sum=Sum("amount_minor")).values("sum")
    return Coalesce(Subquery(summed), Value(0), output_field=models.BigIntegerField())


class BillingRequestQuerySet(models.QuerySet["BillingRequest"]):
    def with_facts(self) -> Self:
        """Adds what a list shows beside the status, without a query a row.

        ``has_live_attempt``, ``has_payment_by_hand``, ``link_delivery_state`` (of the newest mail
        with the link), ``subscription_status`` (of the newest subscription),
        ``subscription_ending``, ``subscription_ends_at`` (of the newest), ``received_sum`` and
        ``refunded_sum`` (of Stripe's money, in minor units) and ``has_open_dispute``.
        """
        from .checkout import CheckoutAttempt
        from .mail import EmailDelivery
        from .payments import Dispute, Payment, Refund
        from .subscriptions import Subscription

        links = EmailDelivery.objects.filter(
            request=OuterRef("pk"), kind__in=EmailDelivery.WITH_LINK, role="to"
        )
        newest = links.exclude(state=EmailDelivery.State.DROPPED).order_by("-pk")
        subscribed = Subscription.objects.filter(request=OuterRef("pk")).order_by("-pk")
        # What came in another currency needs a review, and is never added to the request's.
        received = Payment.objects.from_stripe().filter(
            request=OuterRef("pk"), currency=OuterRef("currency")
        )
        refunds = Refund.objects.filter(
            payment__request=OuterRef("pk"),
            currency=OuterRef("currency"),
            state__in=Refund.COUNTS,
        )
        disputes = Dispute.objects.filter(payment__request=OuterRef("pk"))
        return self.annotate(
            subscription_status=Subquery(subscribed.values("status")[:1]),
            subscription_ending=Exists(
                subscribed.exclude(status__in=Subscription.ENDED).filter(
                    Q(cancel_at_period_end=True) | Q(cancel_at__isnull=False)
                )
            ),
            subscription_ends_at=Subquery(
                subscribed.annotate(end=Coalesce("cancel_at", "current_period_end")).values("end")[
                    :1
                ]
            ),
            received_sum=_sum_of(received, "request"),
            refunded_sum=_sum_of(refunds, "payment__request"),
            has_open_dispute=Exists(disputes.exclude(state__in=Dispute.CLOSED)),
            has_live_attempt=Exists(
                CheckoutAttempt.objects.filter(
                    request=OuterRef("pk"), state__in=CheckoutAttempt.LIVE
                )
            ),
            link_delivery_state=Subquery(newest.values("state")[:1]),
            has_payment_by_hand=Exists(
                Payment.objects.filter(
                    request=OuterRef("pk"), kind=Payment.Kind.BY_HAND, taken_back_at=None
                )
            ),
        )

    def overdue(self, now: datetime) -> Self:
        """Pending requests whose time is over and that nobody is changing."""
        return self.filter(status="pending", expires_at__lte=now, hold="")


class BillingRequest(models.Model):
    """What the agency sends: asks a client of one site for one amount, by one link."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        PAID = "paid", _("Paid")
        EXPIRED = "expired", _("Expired")
        DELETED = "deleted", _("Deleted")

    class BillingType(models.TextChoices):
        ONE_TIME = "one_time", _("One time")
        WEEKLY = "weekly", _("Weekly")
        MONTHLY = "monthly", _("Monthly")
        QUARTERLY = "quarterly", _("Quarterly")
        YEARLY = "yearly", _("Yearly")

    class Hold(models.TextChoices):
        DELETE = "delete", _("Being deleted")
        EDIT = "edit", _("Being edited")
        MARK_PAID = "mark_paid", _("Being marked as paid")
        UNLINK = "unlink", _("Being closed: the account is being unlinked")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    number = models.CharField(_("number"), max_length=40, unique=True, editable=False)
    token = models.CharField(max_length=64, unique=True, default=new_token, editable=False)
    site = models.ForeignKey(
        Site,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="billing_requests",
        verbose_name=_("site"),
    )
    site_name = models.CharField(_("site name"), max_length=255)
    account_id = models.CharField(_("account"), max_length=64)
    livemode = models.BooleanField(_("live mode"))
    email = models.EmailField(_("e-mail"))
    # One address a line.
    cc = models.TextField(_("CC"), max_length=2000, blank=True)
    bcc = models.EmailField(_("BCC"), blank=True)
    language = models.CharField(_("language"), max_length=15, blank=True)
    currency = models.CharField(_("currency"), max_length=3)
    amount_minor = models.BigIntegerField(_("amount"))
    description = models.CharField(_("description"), max_length=250, blank=True)
    billing_type = models.CharField(
        _("billing type"),
        max_length=10,
        choices=BillingType.choices,
        default=BillingType.ONE_TIME,
    )
    # A recurring bill may end after so many payments, or before the first charge after a day.
    ends_after = models.PositiveSmallIntegerField(_("number of payments"), null=True, blank=True)
    ends_on = models.DateField(_("last day"), null=True, blank=True)
    success_url = models.URLField(_("success URL"), max_length=500)
    cancel_url = models.URLField(_("cancel URL"), max_length=500)

    status = models.CharField(
        _("status"), max_length=10, choices=Status.choices, default=Status.PENDING
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("created by"),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(_("expires"), editable=False)
    link_lifetime = models.DurationField(
        _("link lifetime"), default=timedelta(hours=24), editable=False
    )
    paid_at = models.DateTimeField(_("paid"), null=True, blank=True, editable=False)
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True, editable=False)

    # Facts beside the status; written by lifecycle alone.
    processing_since = models.DateTimeField(null=True, blank=True, editable=False)
    paid_late = models.BooleanField(default=False, editable=False)
    not_confirmed = models.BooleanField(default=False, editable=False)
    review_since = models.DateTimeField(null=True, blank=True, editable=False)
    review_reason = models.CharField(max_length=30, blank=True, editable=False)
    review_evidence = models.JSONField(default=dict, blank=True, editable=False)
    # When the amount was changed under a link that somebody may have opened, and what it was.
    amended_at = models.DateTimeField(null=True, blank=True, editable=False)
    amended_from_minor = models.BigIntegerField(null=True, blank=True, editable=False)
    hold = models.CharField(max_length=10, choices=Hold.choices, blank=True, editable=False)
    hold_since = models.DateTimeField(null=True, blank=True, editable=False)
    hold_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
    )
    hold_data = models.JSONField(default=dict, blank=True, editable=False)

    objects = BillingRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("billing request")
        verbose_name_plural = _("billing requests")
        ordering = ["-created_at", "-pk"]
        permissions = [
            ("resend_billingrequest", _("Can send the e-mail of a billing request again")),
            ("refund_billingrequest", _("Can refund payments")),
            ("mark_paid_billingrequest", _("Can mark a billing request as paid")),
        ]
        indexes = [
            models.Index(fields=["status", "expires_at"], name="wcb_request_status_expires"),
            models.Index(fields=["site", "-created_at"], name="wcb_request_site_created"),
            models.Index(fields=["-created_at"], name="wcb_request_created"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0), name="wcb_request_amount_positive"
            ),
            models.CheckConstraint(
                condition=Q(currency__regex=r"^[A-Z]{3}$"), name="wcb_request_currency_code"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "paid", "expired", "deleted"]),
                name="wcb_request_status_known",
            ),
            models.CheckConstraint(
                condition=Q(ends_after=None, ends_on=None)
                | (
                    ~Q(billing_type="one_time")
                    & (
                        Q(ends_after=None, ends_on__isnull=False)
                        | Q(ends_after__gt=1, ends_on=None)
                    )
                ),
                name="wcb_request_one_end",
            ),
        ]

    def __str__(self) -> str:
        # No e-mail address: Wagtail copies this into its log, which more people may read.
        return self.number

    @property
    def recipients(self) -> list[tuple[str, str]]:
        """Everybody whom the client's mails go to, as role and address."""
        copies = [("cc", address) for address in self.cc.split()]
        return [("to", self.email), *copies, *([("bcc", self.bcc)] if self.bcc else [])]

    @property
    def terms(self) -> str:
        """What a client agrees to by pressing Pay; another amount is another agreement."""
        return f"{self.amount_minor} {self.currency}"

    @property
    def is_recurring(self) -> bool:
        """Whether paying it starts a subscription."""
        return self.billing_type != self.BillingType.ONE_TIME

    @property
    def live_attempt(self) -> bool:
        """Whether a session may still be paid or is being settled."""
        annotated = self.__dict__.get("has_live_attempt")
        if annotated is not None:
            return bool(annotated)
        from .checkout import CheckoutAttempt

        return self.attempts.filter(state__in=CheckoutAttempt.LIVE).exists()

    @property
    def is_paid_by_hand(self) -> bool:
        """Whether a payment that staff marked counts."""
        annotated = self.__dict__.get("has_payment_by_hand")
        if annotated is not None:
            return bool(annotated)
        return self.payments.filter(kind="by_hand", taken_back_at=None).exists()

    @property
    def is_over(self) -> bool:
        """Whether nothing new may be opened because the time is up."""
        return self.expires_at <= timezone.now()

    @property
    def is_closing(self) -> bool:
        """Over, but a session opened before may still finish."""
        return self.status == self.Status.PENDING and self.is_over and not self.processing_since
