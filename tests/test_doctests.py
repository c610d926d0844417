"""Every example in a docstring is run, by module name.

A file run by its path would be a second copy of its module, and fill the registries twice.
"""

import doctest
import importlib
import pkgutil

import pytest

import layerscope
import layerscope.app
import layerscope.engine


def modules():
    yield "layerscope"
    for room in (layerscope.engine, layerscope.app):
        yield room.__name__
        for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
            if not module.name.endswith("__main__"):
                yield module.name


@pytest.mark.parametrize("name", list(modules()))
def test_examples(name):
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(importlib.import_module(name), name):
        if test.examples:  # to run a text without any looks at every file that was ever loaded
            runner.run(test)
    assert runner.failures == 0
