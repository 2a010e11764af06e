"""How often something may be done: fixed windows, counted in the cache."""

import logging
import time
from dataclasses import dataclass

from django.core.cache import cache

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limit:
    """``times`` in ``seconds``; counted apart for every ``name``."""

    name: str
    times: int
    seconds: int = 60


def wait_for(limit: Limit, subject: object) -> int:
    """Counts one use; 0 if it is allowed, else the seconds until the window ends.

    A cache that is out of order allows everything: it must not keep clients from paying.
    """
    now = time.time()
    window = int(now // limit.seconds)
    key = f"wagtail_client_billing.limit.{limit.name}.{subject}.{window}"
    try:
        cache.add(key, 0, timeout=limit.seconds + 5)
        used = cache.incr(key)
    except ValueError:
        # Thrown out between the two calls.
        return 0
    except Exception:
        # Caches raise what they like.
        logger.warning("The cache is out of order: uses of links are not counted.", exc_info=True)
        return 0
    if used <= limit.times:
        return 0
    return max(1, int((window + 1) * limit.seconds - now) + 1)
