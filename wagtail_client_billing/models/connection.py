"""A connected Stripe account, and the addresses at which Stripe tells us of events."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext

from ..hosts import this_host


class StripeConnectionQuerySet(models.QuerySet["StripeConnection"]):
    def active(self) -> Self:
        """Linked connections; a broken one is still linked."""
        return self.filter(unlinked_at=None).exclude(account_id="")

    def usable(self) -> Self:
        """Connections that Stripe can be asked with."""
        return self.active().filter(broken_at=None).at_home()

    def at_home(self) -> Self:
        """Connections that were made at this host; all of them where it has no name."""
        here = this_host()
        return self.filter(host__in=["", here]) if here else self.all()

    def copies(self) -> Self:
        """Connections, linked or not, that belong to the installation at another host."""
        here = this_host()
        return self.exclude(host__in=["", here]) if here else self.none()

    def being_unlinked(self) -> Self:
        """Unlinked connections of which something is left to do at Stripe."""
        return self.exclude(unlinked_at=None).filter(let_go_at=None)

    def ready(self) -> Self:
        """Connections that new bills can be sent with."""
        return self.usable().exclude(~Q(flow="restricted_key"), charges_enabled=False)

    def of_account(self, account_id: str, livemode: bool) -> "StripeConnection | None":
        """The connection through which an account is asked, linked or not."""
        return self.filter(account_id=account_id, livemode=livemode).first()


class StripeConnection(models.Model):
    """One connected Stripe account in one mode. Rows are never deleted.

    Linking an account again takes up its old row, so that an account and a mode always name
    one connection.
    """

    class Flow(models.TextChoices):
        RESTRICTED_KEY = "restricted_key", _("Restricted key")
        CONNECT = "connect", _("Stripe Connect")
        OAUTH = "oauth", _("OAuth")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    livemode = models.BooleanField(_("live mode"))
    flow = models.CharField(_("flow"), max_length=20, choices=Flow.choices)
    account_id = models.CharField(_("account"), max_length=64, blank=True)
    account_name = models.CharField(_("account name"), max_length=255, blank=True)
    country = models.CharField(_("country"), max_length=2, blank=True)
    default_currency = models.CharField(_("default currency"), max_length=3, blank=True)
    charges_enabled = models.BooleanField(_("charges enabled"), default=False)
    # Codes of what Stripe lets the account charge; empty while Stripe was not asked.
    currencies = models.JSONField(_("currencies"), default=list, blank=True)
    # Whether the account's owner has answered Stripe's questions, and which are open.
    details_submitted = models.BooleanField(_("details submitted"), default=True)
    requirements = models.JSONField(_("what Stripe still needs"), default=list, blank=True)
    # Slugs of permissions that the key was seen to lack.
    missing_rights = models.JSONField(_("missing permissions"), default=list, blank=True)
    clock_skew_seconds = models.IntegerField(_("clock skew in seconds"), null=True, blank=True)
    # Host of WAGTAILADMIN_BASE_URL where it was connected: elsewhere we are a copy.
    host = models.CharField(_("host"), max_length=255, blank=True)
    sealed_key = models.TextField(blank=True, editable=False)
    key_last4 = models.CharField(max_length=4, blank=True, editable=False)
    idempotency_key = models.CharField(max_length=255, blank=True, editable=False)
    # What Stripe was asked to make, so that asking again asks for the same.
    account_params = models.JSONField(default=dict, blank=True, editable=False)
    privacy_policy_url = models.URLField(_("privacy policy URL"), max_length=500)
    terms_url = models.URLField(_("terms of service URL"), max_length=500)
    connected_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("connected by"),
    )
    connected_by_name = models.CharField(max_length=150, blank=True)
    connected_at = models.DateTimeField(_("connected"), default=timezone.now)
    checked_at = models.DateTimeField(_("checked"), null=True, blank=True)
    # Up to when Stripe's list of events was read, and when that was.
    events_read_until = models.DateTimeField(null=True, blank=True)
    events_read_at = models.DateTimeField(null=True, blank=True)
    # Which of Stripe's portal configurations clients see; made once, with its own key.
    portal_configuration_id = models.CharField(max_length=64, blank=True, editable=False)
    broken_at = models.DateTimeField(_("broken since"), null=True, blank=True)
    broken_why = models.CharField(_("why it is broken"), max_length=255, blank=True)
    unlinked_at = models.DateTimeField(_("unlinked"), null=True, blank=True)
    # When unlinking had ended: until then the sweep goes on with it.
    let_go_at = models.DateTimeField(_("let go"), null=True, blank=True)

    objects = StripeConnectionQuerySet.as_manager()

    class Meta:
        verbose_name = _("Stripe connection")
        verbose_name_plural = _("Stripe connections")
        ordering = ["livemode", "-connected_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["livemode"],
                condition=Q(unlinked_at=None),
                name="wcb_one_active_connection_a_mode",
            ),
            models.UniqueConstraint(
                fields=["account_id", "livemode"],
                condition=~Q(account_id=""),
                name="wcb_one_connection_an_account_and_mode",
            ),
        ]

    def __str__(self) -> str:
        mode = pgettext("Stripe mode", "live") if self.livemode else _("test")
        # Wagtail's history keeps this text, and some accounts have no name but an address.
        named = self.account_name and "@" not in self.account_name
        return f"{self.account_name if named else self.account_id} ({mode})"

    @property
    def usable(self) -> bool:
        """Whether new bills can be sent and paid with it."""
        linked = bool(self.account_id) and self.unlinked_at is None
        return linked and self.broken_at is None and not self.is_copy

    def charges(self, currency: str) -> bool:
        """Whether it can be charged in this currency; any while Stripe has not said which."""
        return not self.currencies or currency in self.currencies

    @property
    def is_copy(self) -> bool:
        """Whether it belongs to the installation at another host, of which this is a copy."""
        here = this_host()
        return bool(here and self.host) and self.host != here

    @property
    def through_platform(self) -> bool:
        """Whether it holds no key of its own, and the operator's platform acts for it."""
        return self.flow != self.Flow.RESTRICTED_KEY

    @property
    def ready(self) -> bool:
        """Whether new bills can be sent with it.

        A platform cannot charge for an account that Stripe has not cleared. An account's own key
        takes test payments all the same.
        """
        return self.usable and (self.charges_enabled or not self.through_platform)

    @property
    def unfinished(self) -> bool:
        """Whether its owner has never answered what Stripe asks of a new account."""
        return (
            self.flow == self.Flow.CONNECT
            and self.unlinked_at is None
            and not self.charges_enabled
            and not (self.account_id and self.details_submitted)
        )


class WebhookEndpoint(models.Model):
    """A webhook address of ours with the secrets that sign what arrives there.

    The row exists before Stripe is asked to create the endpoint; ``stripe_id`` stays empty
    where it was made by hand or could not be made. Without a connection it is the operator's
    platform's, and hears of all accounts connected to it in its mode.
    """

    class State(models.TextChoices):
        CREATING = "creating", _("Being created")
        ACTIVE = "active", _("Active")
        RETIRING = "retiring", _("Being replaced")
        MISSING = "missing", _("Not created")
        DELETED = "deleted", _("Deleted")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    connection = models.ForeignKey(
        StripeConnection,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="endpoints",
        verbose_name=_("connection"),
    )
    livemode = models.BooleanField(_("live mode"))
    url = models.URLField(_("address"), max_length=500)
    stripe_id = models.CharField(max_length=64, blank=True)
    idempotency_key = models.CharField(max_length=255, unique=True)
    sealed_secrets = models.JSONField(default=list, blank=True, editable=False)
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.CREATING
    )
    error = models.CharField(_("error"), max_length=255, blank=True)
    # Older secrets than the newest hold for a day from then on.
    secret_rolled_at = models.DateTimeField(_("secret rolled"), null=True, blank=True)
    retire_at = models.DateTimeField(_("to be deleted"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True)
    last_event_at = models.DateTimeField(_("last verified event"), null=True, blank=True)

    class Meta:
        verbose_name = _("webhook endpoint")
        verbose_name_plural = _("webhook endpoints")
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["livemode"],
                condition=Q(connection=None, state__in=["creating", "active", "missing"]),
                name="wcb_one_platform_endpoint_a_mode",
            ),
        ]

    def __str__(self) -> str:
        return str(self.uuid)
