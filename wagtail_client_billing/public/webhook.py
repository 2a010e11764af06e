"""Where Stripe tells us of events."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from ..errors import BadSignature
from ..gateway.webhooks import receive
from ..models import WebhookEndpoint
from .headers import public

MAX_BYTES = 512 * 1024


# The signature takes the place of a CSRF token.
@csrf_exempt
@public
@require_POST
def receive_event(request: HttpRequest, endpoint_uuid: UUID) -> HttpResponse:
    """Verifies and stores an event; the worker does the rest.

    200 once the event is stored, also for events that are none of ours: Stripe repeats
    everything else for days. An error while storing is a 500, and the repetition is welcome.
    """
    signature = request.headers.get("Stripe-Signature", "")
    if not signature:
        return HttpResponse("No signature.", status=400, content_type="text/plain")
    try:
        too_large = int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BYTES
        too_large = too_large or len(request.body) > MAX_BYTES
    except (ValueError, UnreadablePostError):
        return HttpResponse("Incomplete.", status=400, content_type="text/plain")
    if too_large:
        return HttpResponse("Too large.", status=413, content_type="text/plain")
    endpoint = WebhookEndpoint.objects.filter(uuid=endpoint_uuid).first()
    if endpoint is None:
        return HttpResponse("No such endpoint.", status=404, content_type="text/plain")
    try:
        receive(endpoint, request.body, signature)
    except BadSignature:
        return HttpResponse("Bad signature.", status=400, content_type="text/plain")
    return HttpResponse("Stored.", content_type="text/plain")
