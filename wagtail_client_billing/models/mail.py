"""The outbox."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .billing import BillingRequest


class EmailDelivery(models.Model):
    """One e-mail to one recipient with its state.

    The text is composed when it is sent, from what is true then. ``message_id`` is fixed before
    the first try, so that a repetition can be recognised.
    """

    class Kind(models.TextChoices):
        PAYMENT_LINK = "payment_link", _("Payment link")
        RECEIPT = "receipt", _("Payment received")
        PAYMENT_FAILED = "payment_failed", _("Payment failed")
        AGENCY_PAID = "agency_paid", _("Paid, to the agency")
        AGENCY_LATE = "agency_late", _("Paid late, to the agency")
        AGENCY_REVIEW = "agency_review", _("Needs review, to the agency")

    class State(models.TextChoices):
        QUEUED = "queued", _("Queued")
        SENDING = "sending", _("Sending")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")

    class Problem(models.TextChoices):
        UNREACHABLE = "unreachable", _("The mail server cannot be reached.")
        LOGIN = "login", _("The mail server refuses the user name or password.")
        REFUSED = "refused", _("The mail server refuses this message or its recipient.")
        LATER = "later", _("The mail server asks to try again later.")
        UNCERTAIN = "uncertain", _("The connection broke at the end: it may have arrived.")
        OBSOLETE = "obsolete", _("No longer needed: the request had changed before it was sent.")
        OTHER = "other", _("The e-mail could not be sent.")

    request = models.ForeignKey(BillingRequest, on_delete=models.PROTECT, related_name="deliveries")
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    to = models.EmailField(_("to"))
    language = models.CharField(_("language"), max_length=15, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    message_id = models.CharField(max_length=255, unique=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.QUEUED)
    problem = models.CharField(_("problem"), max_length=12, choices=Problem.choices, blank=True)
    error = models.CharField(_("error"), max_length=255, blank=True)
    attempts = models.PositiveIntegerField(_("tries"), default=0)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    claimed_at = models.DateTimeField(null=True, blank=True)
    next_try_at = models.DateTimeField(_("next try"), default=timezone.now)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["pk"]
        indexes = [models.Index(fields=["state", "next_try_at"], name="wcb_delivery_due")]

    def __str__(self) -> str:
        return self.message_id
