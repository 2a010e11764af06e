"""Agency settings → Health: what the doctor found, and asking Stripe again."""

from typing import Any

from django.http import HttpResponse, HttpResponseRedirect
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from wagtail.admin import messages
from wagtail.admin.panels import Panel

from ..gateway.webhooks import replay
from ..health import Finding, Level, diagnose, examine
from ..models import StripeEvent
from .pages import AgencyPage
from .urls import HEALTH_TAB, admin_url, agency_settings_url

# What was looked at, in the words of the page.
SUBJECTS: dict[str, Promise] = {
    "addresses": gettext_lazy("Addresses"),
    "agency": gettext_lazy("Agency"),
    "broker": gettext_lazy("Queue"),
    "cache": gettext_lazy("Cache"),
    "clock": gettext_lazy("Clock"),
    "connections": gettext_lazy("Stripe account"),
    "copies": gettext_lazy("Installation"),
    "csp": gettext_lazy("Way to Stripe"),
    "database": gettext_lazy("Database"),
    "encryption": gettext_lazy("Encryption"),
    "events": gettext_lazy("Stripe events"),
    "mail": gettext_lazy("E-mail"),
    "migrations": gettext_lazy("Database"),
    "requests": gettext_lazy("Billing requests"),
    "rights": gettext_lazy("Permissions of the key"),
    "schedule": gettext_lazy("Schedule"),
    "secrets": gettext_lazy("Stored secrets"),
    "settings": gettext_lazy("Settings"),
    "stripe": gettext_lazy("Stripe"),
    "webhooks": gettext_lazy("Webhook endpoint"),
    "worker": gettext_lazy("Worker"),
}
# Of events that were given up, as many as anybody reads.
MOST_EVENTS = 20
KINDS = {Level.PROBLEM: "critical", Level.ADVICE: "warning", Level.OK: "positive"}
WORDS: dict[str, Promise] = {
    Level.PROBLEM: gettext_lazy("Needs doing"),
    Level.ADVICE: gettext_lazy("Advice"),
    Level.OK: gettext_lazy("Fine"),
}


def health_context(findings: list[Finding]) -> dict[str, Any]:
    """The findings as the template shows them: problems first, what is fine folded away."""
    rows = [
        {
            "kind": KINDS[finding.level],
            "word": WORDS[finding.level],
            "subject": SUBJECTS.get(finding.check, finding.check),
            "text": finding.text,
            "todo": finding.todo,
            "level": finding.level,
        }
        for finding in findings
    ]
    order = [Level.PROBLEM, Level.ADVICE]
    to_do = [row for row in rows if row["level"] != Level.OK]
    return {
        "to_do": sorted(to_do, key=lambda row: order.index(row["level"])),
        "fine": [row for row in rows if row["level"] == Level.OK],
        "check_url": admin_url("health"),
        **given_up(),
    }


def given_up() -> dict[str, Any]:
    """The events that were given up, the newest first, and where they are tried again."""
    parked = StripeEvent.objects.filter(state=StripeEvent.State.PARKED)
    shown = list(parked.order_by("-received_at", "-pk")[: MOST_EVENTS + 1])
    return {
        "given_up": shown[:MOST_EVENTS],
        "given_up_more": len(shown) > MOST_EVENTS,
        "replay_url": admin_url("replay"),
    }


class HealthPanel(Panel):
    """The findings that the database alone can tell: opening the page asks nobody."""

    class BoundPanel(Panel.BoundPanel):
        template_name = "wagtail_client_billing/admin/panels/health.html"

        def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
            context = super().get_context_data(parent_context)
            return {**context, **health_context(diagnose())}


class HealthView(AgencyPage):
    """The same on a page of its own; the button asks Stripe, the queue and our pages too.

    Reaches Stripe: no transaction may be open around it.
    """

    template_name = "wagtail_client_billing/admin/health.html"
    page_title = gettext_lazy("Health")

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.show(diagnose(), asked=False)

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        # Shown at once and not after a redirect: some answers are kept nowhere.
        return self.show(examine(), asked=True)

    def show(self, findings: list[Finding], *, asked: bool) -> HttpResponse:
        return self.render_to_response(
            self.get_context_data(
                asked=asked, back_url=agency_settings_url(HEALTH_TAB), **health_context(findings)
            )
        )

    def get_page_subtitle(self) -> str:
        return _("Agency settings")


class ReplayView(AgencyPage):
    """*Try again*: makes the events due again that were given up."""

    http_method_names = ["get", "post", "head", "options"]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponseRedirect(admin_url("health"))

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        count = replay()
        if count:
            text = ngettext(
                "%(count)s event is tried again within a minute.",
                "%(count)s events are tried again within a minute.",
                count,
            )
            messages.success(request, text % {"count": count})
        else:
            messages.success(request, _("Nothing is given up any more."))
        return HttpResponseRedirect(self.next_url(admin_url("health")))
