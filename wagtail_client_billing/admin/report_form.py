"""What the report is asked for: from which day to which, and in which mode."""

from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from .statistics import Period

LIVE, TEST = "live", "test"
MONTHS = 12
LONGEST = 10
EARLIEST, LATEST = date(2000, 1, 1), date(2099, 12, 31)


class DayField(forms.DateField):
    """A day, typed into the browser's own date field, which needs no script."""

    def __init__(self, **kwargs: Any) -> None:
        limits = {"type": "date", "min": EARLIEST.isoformat(), "max": LATEST.isoformat()}
        # Never empty, and so without the mark of what has to be filled in.
        super().__init__(
            required=False,
            input_formats=["%Y-%m-%d"],
            widget=forms.DateInput(format="%Y-%m-%d", attrs=limits),
            **kwargs,
        )

    def validate(self, value: Any) -> None:
        super().validate(value)
        if value and not EARLIEST <= value <= LATEST:
            raise ValidationError(_("Choose a day between 2000 and 2099."), code="far_away")


class ReportForm(forms.Form):
    """Always filled in: what was not asked for is the last twelve months.

    While a day is wrong, ``period`` is the usual one, and what was typed stays beside its error.
    """

    start = DayField(label=pgettext_lazy("first day of a period", "From"))
    end = DayField(label=pgettext_lazy("last day of a period", "To"))
    mode = forms.ChoiceField(
        required=False,
        label=gettext_lazy("Mode"),
        choices=[(LIVE, pgettext_lazy("Stripe mode", "Live")), (TEST, gettext_lazy("Test"))],
    )

    def __init__(self, asked: Any, *, modes: list[str]) -> None:
        usual = usual_period(timezone.localdate())
        self.default = {
            "start": usual.start.isoformat(),
            "end": usual.end.isoformat(),
            "mode": next(iter(modes), LIVE),
        }
        typed = {name: asked.get(name, "")[:40] for name in self.default}
        if typed["end"] and not typed["start"]:
            # Twelve months up to a day that somebody chose.
            typed["start"] = _usual_start(typed["end"])
        super().__init__({name: typed[name] or self.default[name] for name in self.default})
        if len(modes) < 2:
            del self.fields["mode"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        start, end = cleaned.get("start"), cleaned.get("end")
        if start and end and start > end:
            self.add_error("end", _("The last day is before the first one."))
        elif (
            start
            and end
            and (end.year - start.year) * 12 + end.month - start.month >= (LONGEST * 12)
        ):
            text = _("Choose at most %(years)s years.") % {"years": LONGEST}
            self.add_error("start", text)
        return cleaned

    @property
    def period(self) -> Period:
        """The days that the report is about."""
        chosen = self._chosen()
        if "start" in chosen and "end" in chosen:
            return Period(chosen["start"], chosen["end"])
        return Period(*(date.fromisoformat(self.default[name]) for name in ("start", "end")))

    @property
    def chosen_mode(self) -> str:
        """Live, unless there is only test, or test was chosen."""
        return self._chosen().get("mode") or self.default["mode"]

    def _chosen(self) -> dict[str, Any]:
        return self.cleaned_data if self.errors is not None else {}


def usual_period(end: date) -> Period:
    """Twelve months, of which that day's is the last."""
    months = end.year * 12 + end.month - MONTHS
    return Period(date(months // 12, months % 12 + 1, 1), end)


def _usual_start(end: str) -> str:
    try:
        return usual_period(date.fromisoformat(end)).start.isoformat()
    except ValueError:
        return ""
