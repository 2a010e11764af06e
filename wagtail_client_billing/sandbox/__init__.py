"""A stand-in for Stripe and a mail inbox, for development and tests.

An opt-in Django app. The real ``stripe`` SDK speaks to it over HTTP when ``STRIPE_API_BASE`` names
it. It has never been compared with Stripe's own servers.
"""
