"""Shared by the tests."""

from __future__ import annotations

import unittest
from typing import Any

import harmont as hm
from harmont import _registry


class SdkTest(unittest.TestCase):
    """A test that starts without pipelines and targets."""

    def setUp(self) -> None:
        self.forget()

    def tearDown(self) -> None:
        self.forget()

    def forget(self) -> None:
        _registry.clear_registry()
        hm.clear_target_cache()

    def steps(self, *leaves: Any, **options: Any) -> list[dict[str, Any]]:
        """The steps of the document."""
        return [node["step"] for node in hm.pipeline(list(leaves), **options)["graph"]["nodes"]]

    def edges(self, *leaves: Any) -> list[list[Any]]:
        """The edges of the document."""
        return hm.pipeline(list(leaves))["graph"]["edges"]

    def keys(self, *leaves: Any) -> list[str]:
        """The keys of the steps."""
        return [step["key"] for step in self.steps(*leaves)]

    def refuses(self, error: type[Exception], text: str) -> Any:
        """Expects `error` with `text` in its message."""
        return self.assertRaisesRegex(error, text)
