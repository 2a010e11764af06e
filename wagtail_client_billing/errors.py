"""What can go wrong, each with a sentence that may be shown to the person who caused it."""

from django.core.exceptions import SuspiciousOperation
from django.utils.translation import gettext_lazy as _


class BillingError(Exception):
    """Base of our errors; ``str(error)`` is a translated sentence fit for people to read."""

    sentence = _("Something went wrong. Nothing was changed; please try again.")

    def __init__(self, sentence: object = None) -> None:
        super().__init__(sentence or self.sentence)

    def __str__(self) -> str:
        return str(self.args[0])


class NotConnected(BillingError):
    """No usable Stripe connection for the account and mode that were asked for."""

    sentence = _("No Stripe account is connected for this mode.")


class CopyOfProduction(BillingError):
    """The connection belongs to the installation at another host; Stripe is only read here."""

    sentence = _(
        "This installation looks like a copy: the Stripe account was connected at another"
        " address. Nothing was changed. Say in the agency settings which one is the real one."
    )


class NotAllowed(BillingError):
    """The state of the request does not allow the action."""

    sentence = _("This billing request cannot be changed in that way any more.")


class BeingChanged(NotAllowed):
    """A hold is on the request."""

    sentence = _("This billing request is being changed. Please try again in a minute.")


class RemindedAlready(NotAllowed):
    """The client was reminded of the request less than an hour ago."""

    sentence = _("The client was reminded of this bill less than an hour ago. Nothing was sent.")


class TooSoon(NotAllowed):
    """The same was asked for a moment ago."""

    sentence = _("This e-mail was sent again less than a minute ago. Please wait a minute.")


class ChangedMeanwhile(NotAllowed):
    """What somebody decided on is not what it was when they looked at it."""

    sentence = _("This billing request was changed meanwhile. Look at it, then try again.")


class LastDayOver(NotAllowed):
    """A recurring bill was to end on a day that is over."""

    sentence = _(
        "The last day of this recurring bill is over: nothing can be paid for it any more."
    )


class AmountTooLarge(NotAllowed):
    """More was to be given back than is left of the payment."""

    sentence = _("That is more than is left of this payment. Nothing was refunded.")


class TermsChanged(NotAllowed):
    """Pay was pressed on a page that showed another amount."""

    sentence = _(
        "The amount was changed after you had opened this page. Nothing was charged: please look"
        " at it again."
    )


class StripeUnavailable(BillingError):
    """Stripe could not be reached, or answered that it is out of order; asking again may help."""

    sentence = _("Stripe cannot be reached at the moment. Nothing was changed; try again soon.")


class StripeRefused(BillingError):
    """Stripe understood and said no.

    ``code`` is Stripe's error code or an empty string; ``missing_right`` the name of the
    restricted key's permission that would have allowed the call, as Stripe words it.
    """

    sentence = _("Stripe refused the request.")

    def __init__(
        self,
        sentence: object = None,
        *,
        code: str = "",
        status: int = 0,
        param: str = "",
        missing_right: str = "",
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.status = status
        self.param = param
        self.missing_right = missing_right


class AccountLost(StripeRefused):
    """The key was revoked or the account is gone: Stripe can never be asked again with it."""

    sentence = _("Stripe no longer accepts the key of this account. Connect the account again.")


class NoSuchObject(StripeRefused):
    """Stripe has no object of that id for this account and mode."""

    sentence = _("Stripe does not know this object.")


class BadSignature(SuspiciousOperation):
    """A webhook delivery that none of the endpoint's secrets signed; Django answers 400."""
