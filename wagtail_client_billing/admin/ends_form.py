"""When a recurring bill ends: after so many payments, or with a last day."""

import json
from datetime import date, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.models import Site

from ..models import BillingRequest
from .fields import DayInput
from .site_totals import zone_of

Type = BillingRequest.BillingType

FEWEST_PAYMENTS = 2
# Nobody agrees today on what is paid later than that.
YEARS = 20
MOST_PAYMENTS: dict[str, int] = {
    Type.WEEKLY: YEARS * 52,
    Type.MONTHLY: YEARS * 12,
    Type.QUARTERLY: YEARS * 4,
    Type.YEARLY: YEARS,
}


class EndsForm(forms.Form):
    """The two fields of an agreed end. Without one, a subscription goes on until it is cancelled.

    Wagtail's w-rules shows them for recurring billing types; without JavaScript they stay in sight.
    """

    ends_after = forms.IntegerField(
        label=gettext_lazy("Number of payments"),
        required=False,
        min_value=FEWEST_PAYMENTS,
        max_value=max(MOST_PAYMENTS.values()),
        help_text=gettext_lazy("Including the first one. Leave blank for no end."),
    )
    ends_on = forms.DateField(
        label=gettext_lazy("Last day"),
        required=False,
        widget=DayInput,
        help_text=gettext_lazy("Nothing is charged after it. Leave blank for no end."),
    )

    ENDS = ("ends_after", "ends_on")

    @property
    def ends_rules(self) -> str:
        """When the fields are shown, for w-rules; empty where they have to be seen in any case."""
        recurring = [kind.value for kind in Type if kind != Type.ONE_TIME]
        typed = any(self[name].value() for name in self.ENDS)
        if typed and self["billing_type"].value() not in recurring:
            return ""
        return json.dumps({self.add_prefix("billing_type"): recurring})

    def check_end(self, site: Site | None) -> None:
        """Puts what is wrong with the agreed end beside its field; ask once the rest is clean."""
        data = self.cleaned_data
        kind = data.get("billing_type")
        given = [name for name in self.ENDS if data.get(name) is not None]
        if kind == Type.ONE_TIME:
            for name in given:
                text = _("A one-time bill has no end: leave this blank.")
                self.add_error(name, ValidationError(text, code="one_time"))
            return
        if len(given) == len(self.ENDS):
            text = _("Choose one of the two: a number of payments, or a last day.")
            self.add_error("ends_on", ValidationError(text, code="both"))
            return
        if "ends_after" in given and kind in MOST_PAYMENTS:
            self._check_number(data["ends_after"], MOST_PAYMENTS[kind])
        if "ends_on" in given:
            self._check_day(data["ends_on"], site)

    def _check_number(self, number: int, most: int) -> None:
        if number > most:
            text = _("Enter at most %(most)s payments.") % {"most": most}
            self.add_error("ends_after", ValidationError(text, code="too_many"))

    def _check_day(self, day: date, site: Site | None) -> None:
        zone = zone_of(site) if site is not None else None
        today = timezone.localdate(timezone=zone)
        if day <= today:
            text = _("The last day has to be after today.")
            self.add_error("ends_on", ValidationError(text, code="past"))
        elif day > today + timedelta(days=366 * YEARS):
            text = _("This day is too far away.")
            self.add_error("ends_on", ValidationError(text, code="far"))


def end_again(earlier: BillingRequest) -> dict[str, Any]:
    """The agreed end of an earlier request, as far as it can be agreed on once more."""
    day = earlier.ends_on
    over = day is not None and day <= timezone.localdate()
    return {"ends_after": earlier.ends_after, "ends_on": None if over else day}
