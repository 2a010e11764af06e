"""Points in time as people read them, and the language in which they do."""

from dataclasses import dataclass
from datetime import date, datetime

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, get_timezone_name
from django.conf import settings
from django.utils import timezone
from django.utils.translation import get_language, get_supported_language_variant
from django.utils.translation import gettext as _

from ..zones import zone_called


@dataclass(frozen=True)
class Moment:
    """A point in time: in ISO 8601 for machines, and as people read it, with its time zone."""

    iso: str
    text: str


def moment(value: datetime, zone: str = "") -> Moment:
    """The time in a time zone that is named: nobody knows the reader's.

    Without ``zone``, or with one that this machine does not know, it is the project's own.
    """
    local = timezone.localtime(value, zone_called(zone))
    locale = _locale(get_language() or settings.LANGUAGE_CODE)
    text = _("%(date)s, %(time)s (%(zone)s)") % {
        "date": format_date(local.date(), "long", locale=locale),
        "time": format_time(local.time(), "short", locale=locale),
        "zone": _zone(local, locale),
    }
    # Babel puts a narrow space before AM and PM that few fonts of mail programs have.
    text = text.replace("\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}")
    return Moment(local.isoformat(timespec="minutes"), text)


def day(value: datetime, zone: str = "") -> Moment:
    """The day of a moment, in the same time zone, where its hour is of no interest."""
    local = timezone.localtime(value, zone_called(zone)).date()
    return Moment(local.isoformat(), date_text(local))


def date_text(value: date) -> str:
    """A date in words of the active language."""
    return format_date(value, "long", locale=_locale(get_language() or settings.LANGUAGE_CODE))


def language_for(*wanted: str) -> str:
    """The first of these languages that the project speaks, else the project's own."""
    for code in wanted:
        try:
            return get_supported_language_variant(code)
        except LookupError:
            continue
    return settings.LANGUAGE_CODE


def _zone(local: datetime, locale: Locale) -> str:
    if local.tzname() == "UTC":
        return "UTC"
    return get_timezone_name(local.tzinfo, "long", locale=locale, zone_variant="generic")


def _locale(code: str) -> Locale:
    """Babel's locale for a Django language code, else English."""
    for candidate in (code, code.split("-")[0]):
        try:
            return Locale.parse(candidate, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")
