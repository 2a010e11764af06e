"""What Django-Q runs. Tasks take nothing: each claims what is due in the database.

They may run twice, at once, late or never. Each has a budget below the cluster's ``timeout``,
stops by itself and wakes its successor.
"""

import time
from collections.abc import Callable

from django.conf import settings
from django.utils import timezone

from . import lifecycle
from .gateway import bulk, endpoints, webhooks
from .gateway.sweeping import sweep_stripe
from .mail import outbox
from .models import Heartbeat
from .rounds import Round
from .signals import send_due_signals
from .waking import wake

# One Stripe call may take 25 s; one mail 35 s, of which 15 to connect: a task starts nothing new
# that late.
SLOWEST_STEP_SECONDS = 35
LONGEST_BUDGET_SECONDS = 40
# Wake-ups are coalesced within a second; looking again this long misses none in between.
LINGER_SECONDS = 2.0
LINGER_STEP_SECONDS = 0.25


def budget() -> float:
    """Seconds that a task may spend before it must not start another step."""
    timeout = (getattr(settings, "Q_CLUSTER", None) or {}).get("timeout") or 0
    if not timeout:
        return LONGEST_BUDGET_SECONDS
    return max(1.0, min(LONGEST_BUDGET_SECONDS, timeout - SLOWEST_STEP_SECONDS - 5))


def drain_events() -> int:
    """Processes waiting Stripe events, and tells receivers of what happened."""

    def once(deadline: float, stripe_round: Round) -> int:
        return webhooks.drain(deadline, stripe_round) + send_due_signals(deadline)

    return _drain("drain_events", once)


def drain_outbox() -> int:
    """Sends waiting mail."""
    return _drain("drain_outbox", outbox.drain)


def drain_bulk() -> int:
    """Does what was asked for many requests at once."""
    return _drain("drain_bulk", bulk.drain)


def sweep() -> int:
    """Everything that is due: expiry, holds, sessions, events, mail, pruning.

    Needs nobody to wake it; the schedule and ``client_billing_sweep`` call it.
    """
    Heartbeat.beat("sweep")
    start, seconds = time.monotonic(), budget()
    done = lifecycle.expire_overdue()
    # Shares, so that an outage at Stripe never starves the mail, nor the other way round.
    stripe_round = Round()
    done += sweep_stripe(start + seconds * 0.4, stripe_round)
    done += webhooks.drain(start + seconds * 0.6, stripe_round)
    done += bulk.drain(start + seconds * 0.7, stripe_round)
    done += lifecycle.expire_overdue()
    done += lifecycle.queue_due(timezone.now())
    done += outbox.drain(start + seconds * 0.9)
    done += send_due_signals(start + seconds)
    webhooks.prune()
    bulk.prune()
    endpoints.drop_old_secrets()
    return done


def _drain(name: str, once: Callable[[float, Round], int]) -> int:
    """Goes on while there is something to do; an outage ends it, and the sweep takes over."""
    Heartbeat.beat(name)
    deadline = time.monotonic() + budget()
    done = 0
    service = Round()
    idle_since = time.monotonic()
    while time.monotonic() < deadline:
        handled = once(deadline, service)
        done += handled
        if service.over:
            return done
        if handled:
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since >= LINGER_SECONDS:
            return done
        else:
            time.sleep(LINGER_STEP_SECONDS)
    wake(name)
    return done
