"""Send payment links to your clients from the Wagtail admin, and see who paid."""

__version__ = "0.1.0"
