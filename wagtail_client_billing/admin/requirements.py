"""What Stripe still needs of an account, in plain words."""

import re
from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

# Parts of Stripe's names for what it asks, the more special ones first.
WORDS: list[tuple[str, Promise]] = [
    ("tos_acceptance|terms_of_service", gettext_lazy("Agreement to Stripe’s terms")),
    ("external_account|bank_account|payout", gettext_lazy("A bank account for payouts")),
    ("document|verification", gettext_lazy("A document that proves who you are")),
    ("statement_descriptor", gettext_lazy("The text on your clients’ bank statements")),
    ("support", gettext_lazy("How clients reach you (phone, e-mail or website)")),
    ("business_url|website|profile.url", gettext_lazy("The address of your website")),
    ("product_description", gettext_lazy("What you sell")),
    ("mcc", gettext_lazy("Your line of business")),
    ("registered_name|company.name|doing_business_as", gettext_lazy("The name of your business")),
    ("tax_id|vat_id|id_number|id_numbers", gettext_lazy("A tax or registration number")),
    ("entity_type|business_type|structure", gettext_lazy("The legal form of your business")),
    ("date_of_birth|dob", gettext_lazy("Date of birth")),
    ("owners|directors|executives|person|representative", gettext_lazy("The people behind it")),
    ("phone", gettext_lazy("A phone number")),
    ("email", gettext_lazy("An e-mail address")),
    ("address", gettext_lazy("A postal address")),
    ("given_name|surname|first_name|last_name|individual", gettext_lazy("Your name")),
]


def in_words(names: Iterable[str]) -> list[str]:
    """Each thing once, in Stripe's order; what we have no words for keeps Stripe's name."""
    return list(dict.fromkeys(_in_words(name) for name in names if name))


def _in_words(name: str) -> str:
    for part, words in WORDS:
        if re.search(part, name):
            return str(words)
    return _("Further details (%(name)s)") % {"name": name}
