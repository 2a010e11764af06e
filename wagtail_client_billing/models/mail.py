"""The outbox, and the agency's own mail server."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from .billing import BillingRequest


class EmailDelivery(models.Model):
    """One e-mail to one recipient with its state.

    The text is composed when it is sent, from what is true then. ``message_id`` is fixed before
    the first try, so that a repetition can be recognised. ``handed_over_at`` is when the server
    was about to be given the text in the try under way: after that it may have arrived.
    ``request`` is None for what concerns no single one, such as a broken connection. ``once``
    names what may be mailed a single time.
    """

    class Kind(models.TextChoices):
        PAYMENT_LINK = "payment_link", _("Payment link")
        REMINDER = "reminder", _("Reminder")
        CHANGED = "changed", _("Request changed")
        EXPIRED = "expired", _("Link expired")
        RECEIPT = "receipt", _("Payment received")
        PAYMENT_FAILED = "payment_failed", _("Payment failed")
        AGENCY_PAID = "agency_paid", _("Paid, to the agency")
        AGENCY_LATE = "agency_late", _("Paid late, to the agency")
        AGENCY_REVIEW = "agency_review", _("Needs review, to the agency")
        RENEWAL_RECEIPT = "renewal_receipt", _("Renewal received")
        RENEWAL_FAILED = "renewal_failed", _("Renewal failed")
        CANCELED = "canceled", _("Subscription cancelled")
        REFUNDED = "refunded", pgettext_lazy("message to the client", "Refund")
        AGENCY_FAILED = "agency_failed", _("Payment failed, to the agency")
        AGENCY_RENEWAL = "agency_renewal", _("Renewal failed, to the agency")
        AGENCY_CANCELED = "agency_canceled", _("Subscription ends, to the agency")
        AGENCY_REFUND = "agency_refund", _("Refund failed, to the agency")
        AGENCY_DISPUTE = "agency_dispute", _("Dispute, to the agency")
        AGENCY_MAIL = "agency_mail", _("E-mail failing, to the agency")
        AGENCY_CONNECTION = "agency_connection", _("Stripe account broken, to the agency")

    # What carries the link that a client pays by, besides reminders of it.
    WITH_LINK = (Kind.PAYMENT_LINK, Kind.CHANGED)

    class Role(models.TextChoices):
        TO = "to", _("To")
        CC = "cc", _("CC")
        BCC = "bcc", _("BCC")

    class State(models.TextChoices):
        QUEUED = "queued", _("Queued")
        SENDING = "sending", _("Sending")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")
        DROPPED = "dropped", _("Not sent: no longer true")
        BOUNCED = "bounced", _("Bounced")

    class Problem(models.TextChoices):
        NO_HOST = "no_host", _("The mail server's name is not known.")
        FORBIDDEN = "forbidden", _("The mail server's address or port is not allowed here.")
        UNREACHABLE = "unreachable", _("The mail server cannot be reached.")
        TIMEOUT = "timeout", _("The mail server takes too long to answer.")
        NO_TLS = "no_tls", _("The mail server does not offer the encryption that was chosen.")
        CERTIFICATE = "certificate", _("The mail server's certificate cannot be trusted.")
        LOGIN = "login", _("The mail server refuses the user name or password.")
        UNREADABLE = "unreadable", _("The stored password cannot be read: enter it again.")
        SENDER = "sender", _("The mail server does not let this sender send.")
        REFUSED = "refused", _("The mail server refuses this message or its recipient.")
        LATER = "later", _("The mail server asks to try again later.")
        UNCERTAIN = "uncertain", _("The connection broke at the end: it may have arrived.")
        OBSOLETE = "obsolete", _("No longer needed: the request had changed before it was sent.")
        BOUNCED = "bounced", _("It came back: the recipient's server did not take it.")
        OTHER = "other", _("The e-mail could not be sent.")

    # What every other message would meet as well: it says nothing about this one.
    OF_SERVER = frozenset(
        {
            Problem.NO_HOST,
            Problem.FORBIDDEN,
            Problem.UNREACHABLE,
            Problem.TIMEOUT,
            Problem.NO_TLS,
            Problem.CERTIFICATE,
            Problem.LOGIN,
            Problem.UNREADABLE,
            Problem.SENDER,
        }
    )
    # Of these, what may pass without anybody's doing.
    PASSING = frozenset({Problem.UNREACHABLE, Problem.TIMEOUT})

    class Via(models.TextChoices):
        DEFAULT = "default", _("default mail")
        CUSTOM = "custom", _("custom SMTP")
        FALLBACK = "fallback", _("default mail, since custom SMTP failed")

    request = models.ForeignKey(
        BillingRequest, on_delete=models.PROTECT, null=True, blank=True, related_name="deliveries"
    )
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    to = models.EmailField(_("to"))
    role = models.CharField(_("role"), max_length=3, choices=Role.choices, default=Role.TO)
    language = models.CharField(_("language"), max_length=15, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    once = models.CharField(max_length=120, unique=True, null=True, blank=True)
    message_id = models.CharField(max_length=255, unique=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.QUEUED)
    problem = models.CharField(_("problem"), max_length=12, choices=Problem.choices, blank=True)
    error = models.CharField(_("error"), max_length=255, blank=True)
    attempts = models.PositiveIntegerField(_("tries"), default=0)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    claimed_at = models.DateTimeField(null=True, blank=True)
    handed_over_at = models.DateTimeField(null=True, blank=True)
    next_try_at = models.DateTimeField(_("next try"), default=timezone.now)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    via = models.CharField(_("sent by"), max_length=10, choices=Via.choices, blank=True)
    # What a provider calls the message, so that its news of a bounce finds it.
    provider_id = models.CharField(max_length=255, blank=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["pk"]
        indexes = [
            models.Index(fields=["state", "next_try_at"], name="wcb_delivery_due"),
            models.Index(fields=["provider_id"], name="wcb_delivery_provider"),
        ]

    def __str__(self) -> str:
        return self.message_id

    @property
    def carries_link(self) -> bool:
        """Whether it is one that asks the client to pay."""
        return self.kind in self.WITH_LINK


class MailServer(models.Model):
    """The agency's own mail server. There is at most one row, kept single by ``guard``.

    The password is sealed and only opened where it is used. ``failing_since`` is when it began
    to refuse or miss everything; a message that it takes ends that.
    """

    class Encryption(models.TextChoices):
        STARTTLS = "starttls", _("STARTTLS (usually port 587)")
        TLS = "tls", _("TLS (usually port 465)")
        NONE = "none", _("None (only without a password)")

    guard = models.BooleanField(default=True, unique=True, editable=False)
    enabled = models.BooleanField(_("custom SMTP"), default=False)
    host = models.CharField(_("host"), max_length=253, blank=True)
    port = models.PositiveIntegerField(_("port"), default=587)
    encryption = models.CharField(
        _("encryption"), max_length=10, choices=Encryption.choices, default=Encryption.STARTTLS
    )
    username = models.CharField(_("username"), max_length=255, blank=True)
    sealed_password = models.TextField(blank=True, editable=False)
    from_name = models.CharField(_("from name"), max_length=100, blank=True)
    from_email = models.EmailField(_("from address"), blank=True)
    reply_to = models.EmailField(_("reply-to"), blank=True)
    # Whether default mail steps in for what fails before the text was handed over.
    falls_back = models.BooleanField(_("use default mail when it fails"), default=False)
    changed_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Of the last test: when, and EmailDelivery.Problem; empty is accepted.
    tested_at = models.DateTimeField(null=True, blank=True, editable=False)
    tested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
    )
    test_problem = models.CharField(max_length=12, blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    failing_problem = models.CharField(max_length=12, blank=True, editable=False)
    # When the agency was told of it; once for each time that it fails.
    failing_told_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("mail server")
        verbose_name_plural = _("mail servers")

    def __str__(self) -> str:
        return self.host

    @classmethod
    def current(cls) -> "MailServer | None":
        """The mail server if one was ever saved; it may be switched off."""
        return cls.objects.order_by("pk").first()

    @classmethod
    def in_use(cls) -> "MailServer | None":
        """The mail server that mail goes by; None is the project's default mail."""
        return cls.objects.filter(enabled=True).exclude(host="").order_by("pk").first()


class MessageSettings(models.Model):
    """What the agency has decided about one kind of message: a row only where it has.

    ``texts`` maps a language to ``subject``, ``greeting`` and ``note``, each of which may miss.
    """

    kind = models.CharField(
        _("kind"), max_length=20, unique=True, choices=EmailDelivery.Kind.choices
    )
    enabled = models.BooleanField(_("sent"), default=True)
    texts = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")

    def __str__(self) -> str:
        return self.kind

    @classmethod
    def is_on(cls, kind: str) -> bool:
        """Whether messages of a kind are sent."""
        return not cls.objects.filter(kind=kind, enabled=False).exists()
