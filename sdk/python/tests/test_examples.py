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

    def test_the_tests_that_the_reference_names_are_there(self) -> None:
        root = Path(__file__).parents[3]
        page = (root / "docs/reference/python.md").read_text(encoding="utf-8")
        rows = page.partition("### What holds them")[2].split("\n| ")[2:]
        self.assertGreater(len(rows), 10)
        for case in (root / "sdk/conformance/fixed").glob("*.json"):
            self.assertIn(f"`fixed/{case.stem}`", page)
        for row in rows:
            difference, _, tests = row.partition(" | ")
            named = _in_backticks(tests)
            self.assertTrue(named, difference)
            for name in named:
                with self.subTest(name):
                    file, _, test = name.partition(": ")
                    if not test:
                        self.assertTrue((root / "sdk/conformance" / f"{name}.json").is_file())
                        continue
                    folder = root / ("sdk/python/tests" if file.endswith(".py") else "crates/hm-dsl-engine/tests/it")
                    text = (folder / file).read_text(encoding="utf-8")
                    self.assertRegex(text, rf"(def|fn) {test}\(")


def _in_backticks(text: str) -> list[str]:
    return text.split("`")[1::2]


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
