"""What staff change of a pending request, once nothing of it can be paid at the old terms."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from ..errors import LastDayOver, NotAllowed, NotConnected
from ..models import BillingRequest, EmailDelivery, StripeConnection
from ..models.billing import new_token
from .ends import is_past_its_end
from .mailing import tell_client
from .moves import move
from .record import Action, Cause, lock, note, write

Status = BillingRequest.Status

# What a hold of this kind may carry, besides ``mail``: whether the e-mail is sent again.
EDITABLE = ("amount_minor", "description", "email", "cc", "bcc")


def edit(request: BillingRequest, user: Any, data: dict[str, Any]) -> bool:
    """Writes the new values of a locked request; a new reader gets a new link, and the old dies.

    A new copy gets the link that there is. A changed amount is remembered for the note on the
    client's page, unless the reader is new.
    Returns False for a request that is not pending any more.
    """
    if request.status != Status.PENDING:
        return False
    changed = {
        name: data[name]
        for name in EDITABLE
        if name in data and data[name] != getattr(request, name)
    }
    before = {name: getattr(request, name) for name in changed}
    readers = set(request.recipients)
    values = dict(changed)
    if "email" in changed:
        # Whoever has read the mail to the wrong address still has its link.
        values |= {"token": new_token(), "amended_at": None, "amended_from_minor": None}
    elif "amount_minor" in changed:
        values |= {"amended_at": timezone.now(), "amended_from_minor": request.amount_minor}
    if values:
        write(request, **values)
    note(
        request,
        Action.EDITED,
        cause=Cause.EDITOR,
        user=user,
        evidence={"changed": {name: [before[name], changed[name]] for name in changed}},
    )
    if "email" in changed or data.get("mail"):
        _tell(request, changed, readers)
    else:
        new = [each for each in request.recipients if each not in readers]
        tell_client(request, EmailDelivery.Kind.PAYMENT_LINK, only=new)
    return True


def _tell(
    request: BillingRequest, changed: Collection[str], readers: Collection[tuple[str, str]]
) -> None:
    """What changed is news for whoever has had the link; others are asked for the first time."""
    news = {"amount_minor", "description"} & set(changed)
    if not news or "email" in changed or request.sent_at is None:
        tell_client(request, EmailDelivery.Kind.PAYMENT_LINK)
        return
    known = [each for each in request.recipients if each in readers]
    new = [each for each in request.recipients if each not in readers]
    tell_client(request, EmailDelivery.Kind.CHANGED, only=known)
    tell_client(request, EmailDelivery.Kind.PAYMENT_LINK, only=new)


def renew(
    request_pk: int,
    *,
    lifetime: timedelta | None = None,
    unconfirmed: bool = False,
    user: Any,
) -> BillingRequest:
    """Makes an expired request payable again, under the same number and link, and mails it.

    Without ``lifetime`` it gets the one that it had. ``unconfirmed`` says that somebody has
    decided to, although Stripe could not be asked whether it was paid. Raises ``NotAllowed``
    unless it is expired and nothing else of it is in doubt, ``LastDayOver`` when nothing would be
    charged any more, ``NotConnected`` when its account cannot be paid into now.
    """
    with transaction.atomic():
        request = lock(request_pk)
        if request.status != Status.EXPIRED or request.site_id is None or request.hold:
            raise NotAllowed()
        if request.not_confirmed and not unconfirmed:
            raise NotAllowed()
        if is_past_its_end(request):
            raise LastDayOver()
        account = StripeConnection.objects.ready().of_account(request.account_id, request.livemode)
        if account is None:
            raise NotConnected()
        lifetime = lifetime or request.link_lifetime
        now = timezone.now()
        write(request, expires_at=now + lifetime, link_lifetime=lifetime)
        chosen = BillingRequest.objects.filter(pk=request.pk)
        evidence = {"expires_at": request.expires_at.isoformat()}
        moved = move(chosen, Status.PENDING, cause=Cause.EDITOR, user=user, evidence=evidence)
        if not moved:
            raise NotAllowed()
        tell_client(request, EmailDelivery.Kind.PAYMENT_LINK)
    return moved[0]
