"""Steps and their options."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import harmont as hm
from tests.support import SdkTest


class Steps(SdkTest):
    def test_a_step_is_a_frozen_dataclass(self) -> None:
        step = hm.sh("make", label="build")
        with self.assertRaises(dataclasses.FrozenInstanceError):
            step.label = "x"  # type: ignore[misc]
        with self.assertRaises(AttributeError):
            del step.label
        self.assertTrue(dataclasses.is_dataclass(step))
        self.assertEqual(dataclasses.fields(step)[0].name, "cmd")
        self.assertEqual(dataclasses.replace(step, label="other").label, "other")
        self.assertEqual(hm.Step(cmd="x").cmd, "x")
        with self.refuses(TypeError, "unexpected keyword argument 'nope'"):
            hm.Step(nope=1)  # type: ignore[call-arg]

    def test_two_equal_steps_are_two_steps(self) -> None:
        first, second = hm.sh("a"), hm.sh("a")
        self.assertNotEqual(first, second)
        self.assertEqual(len({first, second}), 2)
        self.assertEqual(len(self.steps(first, second)), 2)

    def test_cwd_is_quoted_when_it_needs_to_be(self) -> None:
        commands = [hm.sh("x", cwd=cwd).cmd for cwd in ("a/b", "a b", "it's", "-x", "$HOME")]
        self.assertEqual(
            commands,
            ["cd a/b && x", "cd 'a b' && x", "cd 'it'\"'\"'s' && x", "cd ./-x && x", "cd '$HOME' && x"],
        )
        with self.refuses(ValueError, "cwd must not be empty"):
            hm.sh("x", cwd="")

    def test_the_image_is_the_steps_own_or_that_of_its_scratch(self) -> None:
        start = hm.Step(image="debian:12")
        self.assertEqual(start.sh("a").image, "debian:12")
        self.assertEqual(start.sh("a", image="alpine").image, "alpine")
        self.assertIsNone(hm.sh("a", image="alpine").sh("b").image)
        self.assertIsNone(start.fork().sh("a").image)

    def test_roots_get_the_default_image_unless_the_pipeline_has_one(self) -> None:
        self.assertEqual([step.get("image") for step in self.steps(hm.sh("a").sh("b"))], ["ubuntu:24.04", None])
        document = hm.pipeline([hm.sh("a")], default_image="alpine")
        self.assertEqual(document["default_image"], "alpine")
        self.assertNotIn("image", document["graph"]["nodes"][0]["step"])

    def test_members_come_in_the_order_of_the_ir(self) -> None:
        step = hm.scratch().sh(
            "x",
            label="l",
            cache=hm.forever(),
            image="i",
            runner="r",
            runner_args={"a": [1, None, 1.5, True]},
            key="k",
            retry=2,
            allow_failure=True,
            outputs=["out/**"],
            secrets=["TOKEN", hm.secret("KEY", file="/run/key")],
            services=[hm.service("db", "postgres:16", env={"A": "b"}, ports=[5432], ready="pg_isready")],
            resources={"cpus": 0.5, "memory_mib": 512},
            network="none",
            mounts=[hm.cache_dir("cargo", "/root/.cargo")],
        )
        (written,) = self.steps(hm.timeout(5, step))
        self.assertEqual(
            list(written),
            "key cmd label cache timeout_seconds image runner runner_args allow_failure retry outputs secrets services "
            "resources network mounts".split(),
        )
        self.assertEqual(written["retry"], {"max": 2})
        self.assertEqual(written["secrets"], [{"name": "TOKEN", "env": "TOKEN"}, {"name": "KEY", "file": "/run/key"}])
        self.assertEqual(written["services"][0]["ready"], {"cmd": "pg_isready"})
        self.assertEqual(written["mounts"], [{"kind": "cache", "name": "cargo", "path": "/root/.cargo"}])

    def test_wrong_options_are_refused_where_they_are_given(self) -> None:
        wrong: list[tuple[type[Exception], str, dict[str, object]]] = [
            (ValueError, "key must not be empty", {"key": ""}),
            (TypeError, "cache= must be a cache policy", {"cache": "forever"}),
            (TypeError, "the variable 'A' must be a str", {"env": {"A": 1}}),
            (ValueError, "not a name of an environment variable", {"env": {"A=B": "1"}}),
            (ValueError, "retry must be", {"retry": -1}),
            (ValueError, "retry on 'rain'", {"retry": {"max": 1, "on": ["rain"]}}),
            (TypeError, "outputs must be a list", {"outputs": "out"}),
            (ValueError, "resources has no 'gpus'", {"resources": {"gpus": 1}}),
            (ValueError, "pids must be a whole number above 0", {"resources": {"pids": 1.5}}),
            (ValueError, "network 'wide'", {"network": "wide"}),
            (TypeError, "services must hold", {"services": ["db"]}),
        ]
        for error, text, options in wrong:
            with self.subTest(text), self.refuses(error, text):
                hm.sh("x", **options)  # type: ignore[arg-type]
        with self.refuses(TypeError, "a command must be a str"):
            hm.sh(["x"])  # type: ignore[arg-type]

    def test_environments_merge_and_the_later_one_wins(self) -> None:
        document = hm.pipeline([hm.sh("a", env={"A": "1", "TERM": "x"})], env={"A": "0", "B": "2"})
        self.assertEqual(
            document["graph"]["nodes"][0]["env"],
            {"DEBIAN_FRONTEND": "noninteractive", "TERM": "x", "A": "1", "B": "2"},
        )


class Durations(SdkTest):
    def test_the_forms_people_write(self) -> None:
        for value, expected in [("1h30m", 5400), (" 5m ", 300), ("1s1s", 2), (90, 90), (timedelta(seconds=5.9), 5)]:
            with self.subTest(value=value):
                self.assertEqual(hm.timeout(value, hm.sh("a")).timeout_seconds, expected)

    def test_what_is_no_duration_is_refused(self) -> None:
        for value in ("90", "1h 30m", "1H", "", "1d", "h", "0s", 0, -1, timedelta(0), 2**32):
            with self.subTest(value=value), self.assertRaises(ValueError):
                hm.timeout(value, hm.sh("a"))
        for wrong in (True, 1.5, None):
            with self.subTest(value=wrong), self.assertRaises(TypeError):
                hm.timeout(wrong, hm.sh("a"))  # type: ignore[arg-type]

    def test_only_commands_have_a_budget(self) -> None:
        with self.refuses(ValueError, r"a wait\(\) has no budget"):
            hm.timeout(5, hm.wait())
        with self.refuses(TypeError, "must be a step, not str"):
            hm.timeout(5, "make")  # type: ignore[arg-type]

    def test_a_budget_never_makes_a_second_node(self) -> None:
        build = hm.sh("make", label="build")
        limited = hm.timeout("10m", build)
        (first, _, _) = self.steps(build.sh("a"), limited, limited.sh("b"))
        self.assertEqual((first["key"], first["timeout_seconds"]), ("build", 600))
        (only,) = self.steps(build, limited, hm.timeout("5m", build), hm.timeout("1h", limited))
        self.assertEqual(only["timeout_seconds"], 300)
        (outer,) = self.steps(hm.timeout("1h", limited))
        self.assertEqual(outer["timeout_seconds"], 3600)


class CachePolicies(SdkTest):
    def test_how_they_are_written(self) -> None:
        policy = hm.compose(
            hm.forever(env_keys=["CC"]), hm.ttl(timedelta(days=1)), hm.on_change("a", "b"), hm.CacheNone(), hm.auto()
        )
        (step,) = self.steps(hm.sh("x", cache=policy))
        self.assertEqual(
            step["cache"],
            {
                "policy": "compose",
                "sub_policies": [
                    {"policy": "forever", "env_keys": ["CC"]},
                    {"policy": "ttl", "duration_seconds": 86400, "env_keys": []},
                    {"policy": "on_change", "paths": ["a", "b"]},
                    {"policy": "none"},
                    {"policy": "auto"},
                ],
            },
        )

    def test_they_are_values(self) -> None:
        self.assertEqual(hm.forever(("A",)), hm.CacheForever(env_keys=("A",)))
        self.assertEqual(len({hm.forever(), hm.CacheForever(), hm.on_change("a")}), 2)
        self.assertEqual(repr(hm.on_change("a")), "CacheOnChange(paths=('a',))")

    def test_wrong_ones_are_refused(self) -> None:
        with self.refuses(TypeError, "must be a datetime.timedelta"):
            hm.ttl(60)  # type: ignore[arg-type]
        with self.refuses(ValueError, "at least one second"):
            hm.ttl(timedelta(0))
        with self.refuses(TypeError, "not one str"):
            hm.forever("HOME")
        with self.refuses(TypeError, "not a cache policy"):
            self.steps(hm.sh("x", cache=hm.CachePolicy()))


class Matrix(SdkTest):
    def test_every_combination(self) -> None:
        found = list(hm.matrix(a=[1, 2], b="xy".split(), include=[{"a": 9}]))
        self.assertEqual(found, [{"a": 1, "b": "xy"}, {"a": 2, "b": "xy"}, {"a": 9}])
        with self.refuses(TypeError, "must be a list"):
            list(hm.matrix(a="one"))
        self.assertEqual(list(hm.matrix()), [])
