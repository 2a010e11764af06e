"""The dashboard: how much is pending, and what needs somebody."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Q
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from wagtail.admin.site_summary import SummaryItem
from wagtail.admin.ui.components import Component

from ..models import (
    AgencySettings,
    BillingRequest,
    EmailDelivery,
    MailServer,
    StripeConnection,
    StripeEvent,
)
from ..models.billing import BillingRequestQuerySet
from ..permissions import may, requests_worked_on_by, works_on
from .attention_kinds import Kind, kinds
from .formats import amount_text, relative_text
from .notices import broken_connections
from .urls import EMAIL_TAB, admin_url, agency_settings_url, detail_url

TEMPLATES = "wagtail_client_billing/admin/home"
PANEL = "client-billing-needs-you"
LISTED = 5
Status = BillingRequest.Status


@dataclass(frozen=True)
class Entry:
    """One thing that needs somebody, and where it is mended."""

    url: str
    name: str
    facts: list[str]
    livemode: bool
    since: datetime | None

    @property
    def when(self) -> str:
        return relative_text(self.since) if self.since else ""


@dataclass(frozen=True)
class Group:
    """Things of one kind: the first few of ``count``, and where to see all of them."""

    title: str
    entries: list[Entry]
    count: int
    all_url: str = ""

    @property
    def more(self) -> int:
        return self.count - len(self.entries)


class Attention:
    """What the dashboard says to one person; each thing is asked of the database once.

    Requests are of one mode: live ones, or test ones where there are no others.
    """

    def __init__(self, user: Any) -> None:
        self.user = user
        self.kinds = kinds(timezone.now())

    @cached_property
    def works(self) -> bool:
        return works_on(self.user)

    @cached_property
    def livemode(self) -> bool:
        mine = requests_worked_on_by(self.user)
        return mine.filter(livemode=True).exists() or not mine.exists()

    @property
    def requests(self) -> BillingRequestQuerySet:
        return requests_worked_on_by(self.user).filter(livemode=self.livemode)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many requests are pending, and how many each kind has."""
        wanted = {"pending": Q(status=Status.PENDING)}
        wanted |= {kind.name: kind.condition for kind in self.kinds if not kind.by_fact}
        found = self.requests.aggregate(
            **{name: Count("pk", filter=condition) for name, condition in wanted.items()}
        )
        return found | {
            kind.name: self.of_kind(kind).count() for kind in self.kinds if kind.by_fact
        }

    def of_kind(self, kind: Kind) -> BillingRequestQuerySet:
        return self.requests.with_facts().annotate(**kind.annotations).filter(kind.condition)

    @cached_property
    def broken(self) -> list[StripeConnection]:
        """Connections that this person could mend."""
        return broken_connections() if may(self.user, "change", AgencySettings) else []

    @cached_property
    def given_up(self) -> dict[bool, int]:
        """How many events of each mode were given up, for those who could have them tried again."""
        if not may(self.user, "change", AgencySettings):
            return {}
        parked = StripeEvent.objects.filter(state=StripeEvent.State.PARKED).order_by()
        return dict(parked.values_list("livemode").annotate(Count("pk")))

    @cached_property
    def failing(self) -> MailServer | None:
        """The agency's mail server while it fails, for those who could mend it."""
        if not may(self.user, "change", AgencySettings):
            return None
        server = MailServer.in_use()
        return server if server is not None and server.failing_since else None

    @property
    def needs(self) -> int:
        """How many things need somebody, of the mode that is counted."""
        broken = [each for each in self.broken if each.livemode == self.livemode]
        of_requests = sum(self.counts[kind.name] for kind in self.kinds)
        failing = int(self.failing is not None)
        return of_requests + len(broken) + failing + self.given_up.get(self.livemode, 0)

    @cached_property
    def groups(self) -> list[Group]:
        return [*self._mail_server(), *self._connections(), *self._events(), *self._requests()]

    def _mail_server(self) -> Iterator[Group]:
        server = self.failing
        if server is None:
            return
        problem = str(dict(EmailDelivery.Problem.choices).get(server.failing_problem, ""))
        entry = Entry(agency_settings_url(EMAIL_TAB), server.host, [], True, server.failing_since)
        title = _("E-mail by custom SMTP fails: %(why)s") % {"why": problem}
        yield Group(title, [entry], 1)

    def _events(self) -> Iterator[Group]:
        count = sum(self.given_up.values())
        if not count:
            return
        parked = StripeEvent.objects.filter(state=StripeEvent.State.PARKED)
        entries = [
            Entry(
                admin_url("health"),
                each.type,
                [],
                each.livemode,
                each.processed_at,
            )
            for each in parked.order_by("-processed_at", "-pk")[:LISTED]
        ]
        yield Group(_("Stripe events were given up"), entries, count, admin_url("health"))

    def _connections(self) -> Iterator[Group]:
        entries = [
            Entry(
                agency_settings_url(),
                each.account_name or each.account_id,
                [],
                each.livemode,
                each.broken_at,
            )
            for each in self.broken
        ]
        if entries:
            yield Group(_("Stripe account cannot be used"), entries, len(entries))

    def _requests(self) -> Iterator[Group]:
        for kind in self.kinds:
            if not self.counts[kind.name]:
                continue
            newest = self.of_kind(kind).order_by(kind.order, "-pk")
            entries = [
                Entry(
                    detail_url(each),
                    each.number,
                    [kind.fact(each) or amount_text(each), each.email, each.site_name],
                    each.livemode,
                    getattr(each, kind.since),
                )
                for each in newest[:LISTED]
            ]
            yield Group(
                kind.title,
                entries,
                self.counts[kind.name],
                self.list_url(**kind.query) if kind.query else "",
            )

    def list_url(self, **filters: str) -> str:
        """Invoices, filtered to the requests that are counted here."""
        query = urlencode({**filters, "livemode": str(self.livemode)})
        return f"{admin_url('index')}?{query}"


class CountItem(SummaryItem):
    """One number at the top of the dashboard."""

    template_name = f"{TEMPLATES}/count.html"
    order = 400

    def __init__(self, request: Any, attention: Attention) -> None:
        super().__init__(request)
        self.attention = attention

    def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
        return {"livemode": self.attention.livemode}


class PendingItem(CountItem):
    """How many requests wait to be paid; leads to them."""

    def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
        return {
            **super().get_context_data(parent_context),
            "pending": self.attention.counts["pending"],
            "url": self.attention.list_url(status=Status.PENDING.value),
        }


class NeedsYouItem(CountItem):
    """How many things need somebody; leads to the panel below."""

    order = 410

    def is_shown(self) -> bool:
        return self.attention.needs > 0

    def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
        return {
            **super().get_context_data(parent_context),
            "needs": self.attention.needs,
            "url": f"#{PANEL}-section",
        }


class NeedsYouPanel(Component):
    """The things that need somebody, each with the way to where it is mended."""

    name = "client_billing_needs_you"
    template_name = f"{TEMPLATES}/needs_you.html"
    # Above Wagtail's own panels, which can wait.
    order = 150

    def __init__(self, attention: Attention) -> None:
        self.attention = attention

    def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
        return {"groups": self.attention.groups, "panel_id": PANEL}


def attention_of(request: Any) -> Attention:
    """What both parts of the dashboard share while one request lasts."""
    known: Attention | None = request.__dict__.get("_client_billing_attention")
    if known is None:
        known = request.__dict__["_client_billing_attention"] = Attention(request.user)
    return known


def summary_items(request: Any) -> list[SummaryItem]:
    """The numbers at the top, for those who bill."""
    attention = attention_of(request)
    if not attention.works:
        return []
    return [PendingItem(request, attention), NeedsYouItem(request, attention)]


def panels(request: Any) -> list[Component]:
    """The panel, for those who bill, while there is anything in it."""
    attention = attention_of(request)
    if not (attention.works and attention.groups):
        return []
    return [NeedsYouPanel(attention)]
