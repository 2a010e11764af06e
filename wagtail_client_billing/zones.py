"""Time zones by their names."""

from datetime import tzinfo
from zoneinfo import ZoneInfo

from django.utils import timezone


def zone_called(name: str) -> tzinfo:
    """The time zone of this name, else the project's own."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # Unknown, malformed as a path, or the name of a folder of the database of zones.
        return timezone.get_default_timezone()
