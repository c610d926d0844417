"""Runs: the list of them, one as it goes, and training one of our own networks."""

from layerscope.app.pages.runs import listing, run, train

__all__ = ["PAGES"]

PAGES = (listing.PAGE, train.PAGE)

listing.PAGE.router.include_router(run.router)
