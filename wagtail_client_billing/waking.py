"""Wakes the worker. The database is the queue; a wake-up that gets lost costs a minute, no more."""

import logging
from functools import partial

from django.core.cache import cache
from django.db import transaction

logger = logging.getLogger(__name__)

COALESCE_SECONDS = 1


def wake(task: str) -> bool:
    """Asks Django-Q to run one of our tasks soon, at most once a second for each.

    Never raises: with the broker down the schedule or ``client_billing_sweep`` finds the work.
    Returns whether a task was queued.
    """
    try:
        if not cache.add(f"wagtail_client_billing.wake.{task}", 1, timeout=COALESCE_SECONDS):
            return False
        from django_q.tasks import async_task

        async_task(f"wagtail_client_billing.tasks.{task}", task_name=f"client billing: {task}")
    except Exception:
        logger.warning("Could not wake the worker for %s; the sweep will.", task, exc_info=True)
        return False
    return True


def wake_on_commit(task: str) -> None:
    """The same, once the current transaction is committed."""
    transaction.on_commit(partial(wake, task))
