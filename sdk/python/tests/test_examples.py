"""The examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import unittest

import harmont as hm
from harmont import _registry


def _forget(_test: object) -> None:
    _registry.clear_registry()
    hm.clear_target_cache()


def load_tests(_loader: unittest.TestLoader, tests: unittest.TestSuite, _pattern: object) -> unittest.TestSuite:
    for info in pkgutil.walk_packages(hm.__path__, "harmont."):
        module = importlib.import_module(info.name)
        names = {name: getattr(hm, name) for name in hm.__all__}
        tests.addTests(doctest.DocTestSuite(module, extraglobs={**names, "hm": hm}, setUp=_forget, tearDown=_forget))
    tests.addTests(doctest.DocTestSuite(hm, setUp=_forget, tearDown=_forget))
    return tests
