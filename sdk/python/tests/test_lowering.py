"""From leaves to the document: order, edges, keys."""

from __future__ import annotations

import json

from unittest import mock

import harmont as hm
from harmont import _lower
from harmont._keys import positional_key, slugify
from tests.support import SdkTest


class Lowering(SdkTest):
    def test_parents_come_first_and_once(self) -> None:
        base = hm.sh("base")
        left = base.fork("left").sh("l")
        right = base.fork().fork().sh("r").sh("rr")
        self.assertEqual([step["cmd"] for step in self.steps(left, base, right)], ["base", "l", "r", "rr"])
        self.assertEqual(self.edges(left, base, right), [[0, 1, "builds_in"], [0, 2, "builds_in"], [2, 3, "builds_in"]])

    def test_scratch_fork_and_wait_alone_are_no_pipeline(self) -> None:
        with self.refuses(ValueError, "at least one step"):
            self.steps(hm.scratch(), hm.scratch().fork(), hm.wait())

    def test_waits_make_no_more_edges_than_a_document_may_have(self) -> None:
        before = [hm.sh("a") for _ in range(3)]
        after = [hm.sh("b") for _ in range(4)]
        with mock.patch.object(_lower, "_MOST_EDGES", 12):
            self.assertEqual(len(self.edges(*before, hm.wait(), *after)), 12)
            with self.refuses(ValueError, "each of the 3 before it, and that makes more than 12 edges\n  fix: put one step"):
                self.edges(*before, hm.wait(), *after, hm.sh("c"))
            gate = (hm.wait(), hm.sh("true", label="gate"), hm.wait())
            self.assertEqual(len(self.edges(*before, *gate, *after, hm.sh("c"))), 8)

    def test_the_edges_of_waits_are_a_million_at_most(self) -> None:
        steps = [hm.sh("a") for _ in range(2001)]
        with self.refuses(ValueError, "each of the 1000 before it, and that makes more than 1000000 edges"):
            self.edges(*steps[:1000], hm.wait(), *steps[1000:])

    def test_a_wait_joins_all_that_comes_after_with_all_of_the_segment_before(self) -> None:
        a = hm.sh("a")
        self.assertEqual(
            self.edges(a, hm.sh("b"), hm.wait(), a.sh("c").sh("d"), hm.wait(), hm.sh("e")),
            [
                [0, 2, "builds_in"],
                [0, 2, "depends_on"],
                [1, 2, "depends_on"],
                [2, 3, "builds_in"],
                [0, 3, "depends_on"],
                [1, 3, "depends_on"],
                [2, 4, "depends_on"],
                [3, 4, "depends_on"],
            ],
        )

    def test_two_waits_in_a_row_keep_the_barrier(self) -> None:
        self.assertEqual(self.edges(hm.sh("a"), hm.wait(), hm.wait(), hm.sh("b")), [[0, 1, "depends_on"]])
        self.assertEqual(self.edges(hm.wait(), hm.sh("a")), [])

    def test_continue_on_failure_reaches_the_steps_after_it(self) -> None:
        leaves = (hm.sh("a"), hm.wait(continue_on_failure=True), hm.sh("b").sh("c"), hm.wait(), hm.sh("d"))
        flags = [step.get("continue_on_failure") for step in self.steps(*leaves)]
        self.assertEqual(flags, [None, True, True, None])
        twice = (hm.sh("a"), hm.wait(), hm.wait(continue_on_failure=True), hm.sh("b"))
        self.assertEqual([step.get("continue_on_failure") for step in self.steps(*twice)], [None, True])
        first = (hm.wait(continue_on_failure=True), hm.sh("b"))
        self.assertEqual([step.get("continue_on_failure") for step in self.steps(*first)], [None])

    def test_what_is_no_step_is_refused(self) -> None:
        with self.refuses(ValueError, "at least one step"):
            hm.pipeline([])
        with self.refuses(TypeError, "NoneType is no step"):
            hm.pipeline([None])
        with self.refuses(TypeError, "not what hm.pipeline"):
            hm.pipeline([hm.pipeline([hm.sh("a")])])
        with self.refuses(TypeError, "got 2 as arguments"):
            hm.pipeline(hm.sh("a"), hm.sh("b"))  # type: ignore[call-overload]

    def test_a_chain_may_be_long(self) -> None:
        step = hm.sh("0")
        for number in range(1, 5000):
            step = step.sh(str(number))
        document = hm.pipeline([step, (step, [step])])
        self.assertEqual(len(document["graph"]["edges"]), 4999)
        self.assertEqual(json.loads(hm.pipeline_to_json(document)), document)
        self.assertLess(len(repr(step)), 100)


class Keys(SdkTest):
    def test_vectors(self) -> None:
        self.assertEqual(positional_key("", "one", 0), "d5ba6d4de17b")
        self.assertEqual(positional_key("d5ba6d4de17b", "two", 1), "2cecc3fd9a02")
        self.assertEqual(positional_key("", "two", 1), "ee797840ba96")

    def test_the_parent_counts_only_when_it_is_direct(self) -> None:
        self.assertEqual(self.keys(hm.sh("one").sh("two")), ["d5ba6d4de17b", "2cecc3fd9a02"])
        self.assertEqual(self.keys(hm.sh("one").fork().sh("two")), ["d5ba6d4de17b", "ee797840ba96"])

    def test_slugs(self) -> None:
        labels = {
            ":rust: Build & Test": "build-test",
            "a::b": "a-b",
            "a:b:c": "a-c",
            "A_b+C": "a-b-c",
            ":a::b:x": "x",
            ": a: x": "a-x",
            "é1": "1",
            ":A:z": "z",
            "✓": "",
            "::": "",
            ":": "",
        }
        self.assertEqual({label: slugify(label) for label in labels}, labels)

    def test_labels_count_when_they_are_unique_and_free(self) -> None:
        same = self.keys(hm.sh("x", label="One"), hm.sh("y", label="one"), hm.sh("z", label="two"))
        self.assertEqual(same, [positional_key("", "x", 0), positional_key("", "y", 1), "two"])
        taken = self.keys(hm.sh("x", label="k"), hm.sh("y", key="k"))
        self.assertEqual(taken, [positional_key("", "x", 0), "k"])
        kept = self.keys(hm.sh("a", label="x", key="z"), hm.sh("b", label="x"))
        self.assertEqual(kept, ["z", positional_key("", "b", 1)])

    def test_explicit_keys_are_given_once(self) -> None:
        with self.refuses(ValueError, "two steps have the key 'k'"):
            self.keys(hm.sh("a", key="k"), hm.sh("b", key="k"))


class Json(SdkTest):
    def test_it_writes_what_the_standard_library_writes(self) -> None:
        from harmont._json import dumps

        value = {"a": [1, -2.5, 1e300, True, False, None], 'ü\u2028"\\\n\x00': {"😀": []}, "": {}, "t": (1, ())}
        self.assertEqual(dumps(value), json.dumps(value))
        for wrong in (float("nan"), float("inf"), "\ud800"):
            with self.assertRaises(ValueError):
                dumps(wrong)
        for wrong_type in ({1: 2}, {1, 2}, b"x"):
            with self.assertRaises(TypeError):
                dumps(wrong_type)
