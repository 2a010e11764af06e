"""Whom a message names. Each goes to one recipient, and says who else has got it."""

from ..models import EmailDelivery

Role = EmailDelivery.Role
# Of notices to the agency, which clients and their copies know nothing of.
TO_AGENCY = "agency_"


def names_of(delivery: EmailDelivery) -> dict[str, str]:
    """The headers To and Cc where they are not just the recipient; never the BCC."""
    request = delivery.request
    if request is None or delivery.kind.startswith(TO_AGENCY):
        return {}
    if delivery.role == Role.TO and not request.cc:
        return {}
    to = delivery.to if delivery.role == Role.TO else request.email
    copies = ", ".join(request.cc.split())
    return {"To": to, **({"Cc": copies} if copies else {})}
