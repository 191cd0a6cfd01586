"""Checks of the template, its policies and the repository; `make checks` runs them."""
