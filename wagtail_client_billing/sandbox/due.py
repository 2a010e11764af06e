"""Whatever the sandbox's clock has brought by now: sessions that end, subscriptions that renew."""

from . import renewals, sessions


def apply() -> int:
    """Let it happen; returns how much did."""
    return sessions.end_due() + renewals.run_due()
