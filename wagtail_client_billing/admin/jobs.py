"""How a bulk job is getting on, for whoever started it."""

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..health.surroundings import SWEEP_IS_LATE
from ..models import BulkItem, BulkJob, Heartbeat
from ..models.bulk import BulkJobQuerySet
from ..permissions import requests_worked_on_by
from .notices import Notice
from .pages import BillingPage
from .urls import admin_url

# Of unfinished jobs, as many as are named above the list.
MOST_NAMED = 3


def unfinished(user: Any) -> BulkJobQuerySet:
    """The user's jobs that are still at work."""
    waiting = BulkItem.objects.filter(job=OuterRef("pk")).exclude(state=BulkItem.State.FINISHED)
    return BulkJob.objects.filter(Exists(waiting), user=user)


def job_notices(user: Any) -> list[Notice]:
    """The way back to jobs that are still at work, for whoever closed their page."""
    return [
        Notice("info", how_far(job), admin_url("job", job.pk), _("See how it is getting on"))
        for job in unfinished(user).with_progress().order_by("-pk")[:MOST_NAMED]
    ]


def how_far(job: Any) -> str:
    """One sentence, with numbers."""
    facts = {"action": job.get_kind_display(), "finished": job.finished, "total": job.total}
    return _("%(action)s: %(finished)d of %(total)d done.") % facts


class JobView(BillingPage):
    """A job, with what became of each row once it is over."""

    template_name = "wagtail_client_billing/admin/job.html"
    header_icon = "tasks"
    page_title = gettext_lazy("Bulk action")
    http_method_names = ["get", "head", "options"]

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        mine = BulkJob.objects.filter(user=request.user).with_progress()
        self.object = get_object_or_404(mine, pk=kwargs["pk"])

    def get_page_subtitle(self) -> str:
        return str(self.object.get_kind_display())

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        invoices = {"url": admin_url("index"), "label": _("Invoices")}
        here = {"url": "", "label": self.get_page_subtitle()}
        return [*self.breadcrumbs_items, invoices, here]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, **progress_of(self.object, self.request.user))


class JobProgressView(JobView):
    """The part of the page that changes, by itself."""

    template_name = "wagtail_client_billing/admin/job_progress.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(notices=[], fragment=True, **kwargs)


def progress_of(job: Any, user: Any) -> dict[str, Any]:
    """What both show."""
    over = job.finished >= job.total
    context = {"job": job, "over": over, "text": how_far(job), "items": []}
    if over:
        return {**context, "items": results_of(job, user)}
    put_off = job.items.filter(
        state=BulkItem.State.QUEUED, result__in=[BulkItem.Result.WAITING, BulkItem.Result.LOST]
    ).count()
    return {
        **context,
        "put_off": ngettext(
            "For %(count)d of them Stripe could not be asked; it is tried again.",
            "For %(count)d of them Stripe could not be asked; it is tried again.",
            put_off,
        )
        % {"count": put_off}
        if put_off
        else "",
        "nobody_works": not _somebody_works(),
    }


def results_of(job: BulkJob, user: Any) -> QuerySet[BulkItem]:
    """What became of each row, of those that the user may still see."""
    reachable = requests_worked_on_by(user).values("pk")
    items = job.items.filter(request__in=reachable).select_related("request", "made")
    return items.order_by("pk")


def _somebody_works() -> bool:
    earliest = timezone.now() - SWEEP_IS_LATE
    return Heartbeat.objects.filter(name="sweep", beat_at__gte=earliest).exists()


def job_patterns() -> list[Any]:
    """The addresses of a job."""
    return [
        path("jobs/<int:pk>/", JobView.as_view(), name="job"),
        path("jobs/<int:pk>/progress/", JobProgressView.as_view(), name="job_progress"),
    ]
