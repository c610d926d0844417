"""Processes that compute, so that what is asked of them can be stopped, and ended, at any time."""
