"""Whom a message comes from, and who is answered."""

from dataclasses import dataclass, field
from email.headerregistry import Address
from typing import Any

from django.conf import settings

from ..models import AgencySettings, BillingRequest, MailServer, SiteBillingSettings
from .lines import one_line

LONGEST_NAME = 75
# Letters with which a name can look like another address.
MISLEADING = str.maketrans(dict.fromkeys('@:"<>\\', " "))


@dataclass(frozen=True)
class Sender:
    """The From of a message and its Reply-to, each one mailbox; the latter may be nobody."""

    from_email: str
    reply_to: list[str] = field(default_factory=list)


def sender_of(request: BillingRequest | None, server: MailServer | None) -> Sender:
    """The sender of a message about a request, by the mail server that sends it.

    Default mail, no ``server``, sends as ``DEFAULT_FROM_EMAIL`` only: it need not be allowed any
    other. Answers go to the site's address, else the mail server's, else the agency's.
    """
    site = SiteBillingSettings.current(request.site) if request is not None else None
    agency = AgencySettings.current()
    # Where default mail stands in, the answers still go where they would have.
    answering = server or MailServer.in_use()
    address = (
        (site and site.reply_to)
        or (answering and answering.reply_to)
        or (agency and agency.contact_email)
    )
    agency_name = agency.agency_name if agency else ""
    reply_to = [mailbox(agency_name, address)] if address else []
    if server is None:
        return Sender(settings.DEFAULT_FROM_EMAIL, reply_to)
    return Sender(_from(site, server, agency_name), reply_to)


def _from(site: Any, server: MailServer, agency_name: str) -> str:
    address = (site and site.from_email) or server.from_email
    if not address:
        return str(settings.DEFAULT_FROM_EMAIL)
    return mailbox((site and site.from_name) or server.from_name or agency_name, address)


def mailbox(name: str, address: str) -> str:
    """A name and its address as one mailbox, whatever the name consists of."""
    clean = one_line(name.translate(MISLEADING), LONGEST_NAME)
    try:
        # Address quotes what would otherwise make two mailboxes of "Agency, Inc".
        return str(Address(display_name=clean, addr_spec=address))
    except ValueError:
        return address
