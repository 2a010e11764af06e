"""Which messages there are, and what follows from the kind of one."""

from ..models import EmailDelivery

Kind = EmailDelivery.Kind

# About no single request: the agency's own affairs.
NOTICES = frozenset({Kind.AGENCY_MAIL, Kind.AGENCY_CONNECTION})
TO_AGENCY = NOTICES | {
    Kind.AGENCY_PAID,
    Kind.AGENCY_LATE,
    Kind.AGENCY_REVIEW,
    Kind.AGENCY_FAILED,
    Kind.AGENCY_RENEWAL,
    Kind.AGENCY_CANCELED,
    Kind.AGENCY_REFUND,
    Kind.AGENCY_DISPUTE,
}
# Without it no client could ever pay.
ALWAYS_ON = frozenset({Kind.PAYMENT_LINK})
