"""What is done to many invoices at once.

The page says what will happen to which rows, and why not to the others; the button only records
a job, which the worker carries out. Rows of other people's sites are left out as if they did not
exist, also where "all that is listed" is meant.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin.views.bulk_action import BulkAction

from ..errors import BillingError
from ..gateway import bulk
from ..lifecycle import REPEATED_WITHIN
from ..models import BillingRequest, BulkItem, BulkJob
from ..permissions import may, requests_worked_on_by
from .actions import can_check, can_delete, can_remind, can_send_again
from .doubts import ASKS
from .formats import amount_text
from .urls import admin_url

Kind = BulkJob.Kind
Status = BillingRequest.Status
MAX_PK = 2**63 - 1


@dataclass(frozen=True)
class Left:
    """A chosen row to which nothing will be done, and why."""

    item: BillingRequest
    why: str


class RequestBulkAction(BulkAction):
    """One kind of job; ``right`` is what it takes on a row's site."""

    # The list's footer names the classes themselves.
    do_not_call_in_templates = True
    models = [BillingRequest]
    template_name = "wagtail_client_billing/admin/bulk/confirm.html"
    kind: str
    right: str
    sentence: Promise
    button: Promise
    header_icon: str
    serious = False
    job: BulkJob | None = None

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if not may(request.user, self.right):
            raise PermissionDenied
        problem = self.problem
        if problem:
            messages.error(request, problem)
            return HttpResponseRedirect(self.back)
        return super().dispatch(request, *args, **kwargs)

    @property
    def back(self) -> str:
        """The list that somebody came from."""
        return self.next_url if self.next_url != self.request.path else admin_url("index")

    @cached_property
    def pks(self) -> list[int]:
        """The selected primary keys, as far as they can be any; then those that were confirmed.

        What a page has named stays chosen, whatever the list behind it shows by now.
        """
        posted = self.request.method == "POST"
        ids = self.shown if posted else self.request.GET.getlist("id")
        numbers = {int(pk) for pk in ids if pk.isascii() and pk.isdecimal() and len(pk) < 20}
        return [pk for pk in numbers if pk <= MAX_PK]

    @cached_property
    def chosen(self) -> QuerySet[BillingRequest] | None:
        """What is selected, of what the user works on; None if the filters make no sense."""
        from .listing import listed

        if self.request.method != "POST" and "all" in self.request.GET.getlist("id"):
            return listed(self.request)
        found = requests_worked_on_by(self.request.user).filter(pk__in=self.pks)
        return found.with_facts().select_related("site").order_by("-created_at", "-pk")

    @cached_property
    def rows(self) -> list[BillingRequest]:
        """The chosen rows, and one more than a job takes if there are more."""
        if self.chosen is None:
            return []
        rows = list(self.chosen[: BulkJob.MOST + 1])
        if not rows:
            raise Http404
        return rows

    @cached_property
    def problem(self) -> str:
        """Why nothing at all can be done."""
        if self.chosen is None:
            return _("What is listed cannot be told from this address. Nothing was done.")
        if len(self.pks) > BulkJob.MOST or len(self.rows) > BulkJob.MOST:
            text = _("At most %(count)d invoices can be chosen at once. Nothing was done.")
            return text % {"count": BulkJob.MOST}
        return ""

    def possible(self, request: BillingRequest) -> bool:
        """Whether this can be done to the row, in its state and with the user's rights."""
        raise NotImplementedError

    def get_actionable_objects(self) -> tuple[list[BillingRequest], dict[str, list[Left]]]:
        taken = self.allowed if self.request.method == "POST" else self.possible
        able = [row for row in self.rows if taken(row)]
        left = [Left(row, self.why_not(row)) for row in self.rows if not taken(row)]
        return able, {"items_with_no_access": left}

    def allowed(self, request: BillingRequest) -> bool:
        """Whether the user may do this to the row, whatever state it is in.

        What has been paid since the page was shown belongs to the job, which says so.
        """
        return may(self.request.user, self.right, request)

    @cached_property
    def shown(self) -> list[str]:
        """What the page that was confirmed had named."""
        return self.request.POST.get("shown", "").split()

    @property
    def once(self) -> UUID | None:
        """Which showing of the page was confirmed."""
        try:
            return UUID(self.request.POST.get("once", ""))
        except ValueError:
            return None

    def why_not(self, request: BillingRequest) -> str:
        """Why nothing will be done to a row."""
        if not may(self.request.user, self.right, request):
            return _("You do not have the right to do this on its site.")
        if request.hold:
            return _("It is being changed.")
        if request.review_since:
            return _("It needs a review first.")
        if request.processing_since:
            return _("The client's bank is working on a payment.")
        if request.site_id is None and self.kind == Kind.SEND_AGAIN:
            return _("Its site was deleted.")
        return _("Its status is: %(status)s.") % {"status": request.get_status_display()}

    def object_context(self, obj: BillingRequest) -> dict[str, Any]:
        return {"item": obj, "amount": amount_text(obj)}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return {
            **context,
            "next": self.back,
            "once": uuid4(),
            "shown": " ".join(str(row["item"].pk) for row in context["items"]),
            "title": self.display_name,
            "sentence": self.sentence,
            "button": self.button,
            "header_icon": self.header_icon,
            "serious": self.serious,
        }

    def get_execution_context(self) -> dict[str, Any]:
        return {"action": self}

    @classmethod
    def execute_action(cls, objects: Any, **kwargs: Any) -> tuple[int, int]:
        action = kwargs["action"]
        pks = [request.pk for request in objects]
        # Inside Wagtail's transaction: only recorded here, the worker does it.
        action.job = bulk.start(
            action.kind,
            BillingRequest.objects.filter(pk__in=pks),
            user=action.request.user,
            once=action.once,
        )
        return len(pks), 0

    def form_valid(self, form: Any) -> HttpResponse:
        if not self.get_actionable_objects()[0]:
            messages.error(self.request, _("This cannot be done to any of them. Nothing was done."))
            return HttpResponseRedirect(self.back)
        try:
            response = super().form_valid(form)
        except BillingError as error:
            messages.error(self.request, str(error))
            return HttpResponseRedirect(self.back)
        return HttpResponseRedirect(admin_url("job", self.job.pk)) if self.job else response


class DeleteAction(RequestBulkAction):
    display_name = gettext_lazy("Delete")
    aria_label = gettext_lazy("Delete the selected invoices")
    action_type = "delete"
    action_priority = 30
    classes = {"serious"}
    kind = Kind.DELETE
    right = "delete"
    sentence = gettext_lazy(
        "Their payment links stop working, and the clients can no longer pay. They stay in the"
        " list as deleted, with their history."
    )
    button = gettext_lazy("Yes, delete")
    header_icon = "bin"
    serious = True

    def possible(self, request: BillingRequest) -> bool:
        return can_delete(self.request.user, request)


class SendAgainAction(RequestBulkAction):
    display_name = gettext_lazy("Send again")
    aria_label = gettext_lazy("Send the selected invoices again")
    action_type = "send_again"
    action_priority = 20
    kind = Kind.SEND_AGAIN
    right = "add"
    sentence = gettext_lazy(
        "A new billing request with the same content is sent to each client. The earlier ones stay"
        " as they are."
    )
    button = gettext_lazy("Send again")
    header_icon = "resubmit"

    def allowed(self, request: BillingRequest) -> bool:
        reachable = request.site_id is not None and super().allowed(request)
        return reachable and request.pk not in self.repeated

    def possible(self, request: BillingRequest) -> bool:
        return can_send_again(self.request.user, request) and request.pk not in self.repeated

    def why_not(self, request: BillingRequest) -> str:
        if can_send_again(self.request.user, request) and request.pk in self.repeated:
            return _("The client was asked for the same a few minutes ago.")
        return super().why_not(request)

    @cached_property
    def repeated(self) -> set[int]:
        """Those of the rows that the same client was asked for again a few minutes ago, or is
        about to be: where nobody confirms each row by itself, that is a slip.
        """
        if self.once and BulkJob.objects.filter(uuid=self.once).exists():
            # Pressing the button twice is one job.
            return set()
        since = timezone.now() - REPEATED_WITHIN
        newer = BillingRequest.objects.filter(
            email__in={row.email for row in self.rows}, created_at__gt=since, status__in=ASKS
        )
        asked: dict[tuple[Any, ...], Any] = {}
        for request in newer.order_by("created_at"):
            asked[_same(request)] = request.created_at
        queued = BulkItem.objects.filter(
            job__kind=Kind.SEND_AGAIN, request__in=[row.pk for row in self.rows]
        ).exclude(state=BulkItem.State.FINISHED)
        return set(queued.values_list("request", flat=True)) | {
            row.pk
            for row in self.rows
            if _same(row) in asked and asked[_same(row)] > row.created_at
        }


def _same(request: BillingRequest) -> tuple[Any, ...]:
    """What two requests have in common that ask for the same."""
    who = (request.site_id, request.livemode, request.email.casefold())
    return (*who, request.currency, request.amount_minor)


class CheckAction(RequestBulkAction):
    display_name = gettext_lazy("Check with Stripe")
    aria_label = gettext_lazy("Check the selected invoices with Stripe")
    action_type = "check"
    action_priority = 10
    kind = Kind.CHECK
    right = "view"
    sentence = gettext_lazy(
        "Stripe is asked whether they were paid, and what it answers is entered here."
    )
    button = gettext_lazy("Check with Stripe")
    header_icon = "rotate"

    def possible(self, request: BillingRequest) -> bool:
        return can_check(request)


class RemindAction(RequestBulkAction):
    display_name = gettext_lazy("Send reminder")
    aria_label = gettext_lazy("Send a reminder of the selected invoices")
    action_type = "remind"
    action_priority = 15
    kind = Kind.REMIND
    right = "resend"
    sentence = gettext_lazy(
        "Each client is reminded that the bill is not paid yet, with the same link as before. Who"
        " was reminded less than an hour ago is left out."
    )
    button = gettext_lazy("Send reminder")
    header_icon = "time"

    def possible(self, request: BillingRequest) -> bool:
        return can_remind(self.request.user, request)

    def why_not(self, request: BillingRequest) -> str:
        if request.status == Status.PENDING and request.sent_at is None:
            return _("Its link has not been sent yet.")
        return super().why_not(request)


ACTIONS: tuple[type[RequestBulkAction], ...] = (
    CheckAction,
    RemindAction,
    SendAgainAction,
    DeleteAction,
)


def actions_for(user: Any) -> list[type[RequestBulkAction]]:
    """The actions for which the user has the right anywhere."""
    return [action for action in ACTIONS if may(user, action.right)]
