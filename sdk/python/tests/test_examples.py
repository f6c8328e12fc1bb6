"""The examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys
import unittest
from pathlib import Path

import harmont as hm
from harmont import _registry


def _forget(_test: object) -> None:
    _registry.clear_registry()
    hm.clear_target_cache()


class Reference(unittest.TestCase):
    def test_the_examples_of_the_reference_declare_a_pipeline(self) -> None:
        page = Path(__file__).parents[3] / "docs/reference/python.md"
        blocks = page.read_text(encoding="utf-8").split("```python\n")[1:]
        self.assertGreater(len(blocks), 1)
        for block in blocks:
            _forget(None)
            exec(block.partition("```")[0], {"__name__": "example"})
            self.assertIn('"slug": "ci"', hm.dump_registry_json())
        _forget(None)


class Start(unittest.TestCase):
    def test_importing_the_package_imports_nothing_heavy(self) -> None:
        heavy = {"dataclasses", "datetime", "functools", "hashlib", "inspect", "json", "re", "site", "typing"}
        program = "import sys, harmont; print(*sys.modules)"
        folder = Path(__file__).parents[1]
        done = subprocess.run(
            [sys.executable, "-S", "-c", program], cwd=folder, capture_output=True, text=True, check=True
        )
        self.assertEqual(heavy & set(done.stdout.split()), set())


def load_tests(_loader: unittest.TestLoader, tests: unittest.TestSuite, _pattern: object) -> unittest.TestSuite:
    for info in pkgutil.walk_packages(hm.__path__, "harmont."):
        module = importlib.import_module(info.name)
        names = {name: getattr(hm, name) for name in hm.__all__}
        tests.addTests(doctest.DocTestSuite(module, extraglobs={**names, "hm": hm}, setUp=_forget, tearDown=_forget))
    tests.addTests(doctest.DocTestSuite(hm, setUp=_forget, tearDown=_forget))
    return tests
