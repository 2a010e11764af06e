"""What editors see in the Wagtail admin."""
