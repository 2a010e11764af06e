"""Which currencies an account can charge: Stripe says it of the account's country."""

import logging

from django.core.cache import cache

from ..errors import BillingError
from ..models import StripeConnection
from ..money import CURRENCIES
from ..sealing import SecretUnreadable
from ..transactions import outside_transaction
from .client import api_for

logger = logging.getLogger(__name__)

ASK_EVERY = 24 * 60 * 60


def note_currencies(
    connection: StripeConnection, *, waiting: bool = False, at_once: bool = False
) -> None:
    """Asks Stripe and notes the answer; at most once a day unless ``at_once``.

    Without an answer (an outage, a permission that the key lacks) nobody is stopped: what was
    known stays, and where nothing is known every currency is offered.
    """
    outside_transaction()
    country = connection.country.upper()
    asked = f"wagtail_client_billing.currencies.{connection.pk}.{country}"
    if not country or not (cache.add(asked, 1, timeout=ASK_EVERY) or at_once):
        return
    try:
        spec = api_for(connection, waiting=waiting).call(
            lambda client: client.v1.country_specs.retrieve(country)
        )
    except (BillingError, SecretUnreadable) as error:
        logger.info("The currencies of %s are not known: %s", connection.account_id, error)
        return
    found = {str(code).upper() for code in spec.get("supported_payment_currencies") or []}
    if ours := sorted(found & CURRENCIES.keys()):
        connection.currencies = ours
        StripeConnection.objects.filter(pk=connection.pk).update(currencies=ours)
