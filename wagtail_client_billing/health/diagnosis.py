"""All looks in their order, with and without asking anybody."""

from django.utils import timezone

from . import asking, mail_server, stripe_side, surroundings, work
from .findings import Finding, Level, Look

# How we are connected and what waits comes first: it is what people can do something about.
LOOKS: tuple[Look, ...] = (
    stripe_side.copies,
    stripe_side.connections,
    stripe_side.rights,
    stripe_side.webhooks,
    stripe_side.clock,
    stripe_side.secrets,
    surroundings.worker,
    surroundings.schedule,
    mail_server.mail_server,
    work.mail,
    work.requests,
    work.events,
    work.agency,
    surroundings.addresses,
)


def diagnose() -> list[Finding]:
    """Everything that can be told from settings and database, good and bad; asks nobody."""
    now = timezone.now()
    found = [finding for look in LOOKS for finding in look(now)]
    return [*found, *surroundings.settings_in_order()]


def examine(*, offline: bool = False) -> list[Finding]:
    """The same after asking Stripe, the broker and our own pages, unless ``offline``.

    Takes seconds. Where our tables are missing it says only that. Notes on the connections what
    Stripe answered. No transaction may be open.
    """
    found = list(surroundings.migrations())
    if any(finding.level != Level.OK for finding in found):
        return [*surroundings.settings_in_order(), *found]
    if not offline:
        # Before the rest, which reads what this writes down.
        found += [*asking.stripe(), *asking.broker(), *asking.policy_of_our_pages()]
    return [*diagnose(), *found]
