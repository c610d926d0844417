"""Settings of every test process, and what those that run tests load."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings as hypothesis_settings

from tests import shared
from tests.interpreter import Interpreter
from tests.interpreter import interpreter as interpreters

pytest.register_assert_rewrite("tests.serving")  # whoever imports it first
# Several test processes share the cores: torch's threads would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What servers and programs of the tests write goes nowhere near the checkout.
WRITTEN = tempfile.mkdtemp(prefix="layerscope-tests-")
os.environ["LAYERSCOPE_DATA_DIR"] = WRITTEN
atexit.register(shutil.rmtree, WRITTEN, ignore_errors=True)
# No deadline: a shared machine stalls for longer than any example takes.
hypothesis_settings.register_profile("shared", deadline=None)
hypothesis_settings.register_profile("quick", deadline=None, max_examples=20)
hypothesis_settings.load_profile("shared")


def pytest_configure(config: pytest.Config) -> None:
    """Load the engine and the application, but not where tests are only handed out, unless they are
    measured: what runs as it is loaded is counted there, before the others begin to count."""
    gc.disable()  # what is loaded until the tests begin stays
    hands_out = config.getoption("dist", "no") != "no" and not os.getenv("PYTEST_XDIST_WORKER")
    if not hands_out or config.getoption("cov_source", None):
        config.pluginmanager.import_plugin("tests.serving")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for garbage from now on, and never in what is loaded."""
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        # For each test pytest hangs handlers on every logger that hands nothing on: torch has 40.
        for name, logger in logging.root.manager.loggerDict.items():
            if isinstance(logger, logging.Logger) and name.startswith("torch"):
                logger.propagate = True


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Interpreter]:
    """Runs whole programs, each in a process of its own, without loading torch anew for each."""
    with interpreters(shared.command("programs")) as running:
        yield running
