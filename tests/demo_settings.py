"""The demo's settings for the browser tests, with every exchange validated."""

from example_project.settings import *  # noqa: F403
from example_project.settings import MIDDLEWARE

MIDDLEWARE.insert(0, "tests.exchanges.ValidateExchanges")
