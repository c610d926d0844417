"""Runs: the list, one as it goes, several compared, and training one of our own networks."""

from layerscope.app.pages.runs import compare, listing, run, signal, tensors, train

__all__ = ["PAGES"]

PAGES = (listing.PAGE, train.PAGE, compare.PAGE)

listing.PAGE.router.include_router(run.router)
listing.PAGE.router.include_router(signal.router)
listing.PAGE.router.include_router(tensors.router)
