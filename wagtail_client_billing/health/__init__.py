"""The doctor: how everything is, and what to do where it is not well.

``diagnose`` reads only the database, so that a page may call it on every GET; ``examine`` also
asks Stripe, the broker and our own pages.
"""

from .diagnosis import diagnose, examine
from .findings import Finding, Level

__all__ = ["Finding", "Level", "diagnose", "examine"]
