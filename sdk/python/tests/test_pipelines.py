"""Declared pipelines, targets and triggers."""

from __future__ import annotations

import json
from functools import cache, partial, update_wrapper, wraps
from typing import Annotated, Any

import harmont as hm
from tests.support import SdkTest


def rendered() -> dict[str, Any]:
    """The envelope's pipelines by slug."""
    envelope = json.loads(hm.dump_registry_json())
    return {entry["slug"]: entry for entry in envelope["pipelines"]}


def commands(entry: dict[str, Any]) -> list[str]:
    """The commands of a rendered pipeline."""
    return [node["step"]["cmd"] for node in entry["definition"]["graph"]["nodes"]]


class Pipelines(SdkTest):
    def test_what_a_declaration_says(self) -> None:
        @hm.pipeline(
            "ci",
            name="CI",
            triggers=[
                hm.push("main"),
                hm.push(tag=["v*"]),
                hm.pr(),
                hm.pull_request("main", types=["closed"]),
                hm.schedule("0 3 * * *"),
            ],
            allow_manual=False,
            timeout="1h",
            default_image="alpine",
        )
        def ci() -> object:
            return [hm.sh("a"), [(hm.sh("b"),)]]

        self.assertEqual(commands({"definition": hm.pipeline([ci()])}), ["a", "b"])
        entry = rendered()["ci"]
        self.assertEqual((entry["name"], entry["allow_manual"]), ("CI", False))
        self.assertEqual(
            entry["triggers"],
            [
                {"event": "push", "branches": ["main"]},
                {"event": "push", "tags": ["v*"]},
                {"event": "pull_request", "types": ["opened", "synchronize", "reopened"]},
                {"event": "pull_request", "branches": ["main"], "types": ["closed"]},
                {"event": "schedule", "cron": "0 3 * * *"},
            ],
        )
        self.assertEqual(list(entry["definition"]), ["version", "default_image", "timeout_seconds", "graph"])

    def test_nothing_declared(self) -> None:
        self.assertEqual(hm.dump_registry_json(), '{"schema_version": "1", "pipelines": []}')

    def test_slugs_come_from_the_name_and_are_unique(self) -> None:
        @hm.pipeline
        def bare_form() -> hm.Step:
            return hm.sh("a")

        @hm.pipeline()
        def empty_call() -> hm.Step:
            return hm.sh("a")

        self.assertEqual(list(rendered()), ["bare-form", "empty-call"])
        with self.refuses(ValueError, "two pipelines have the slug 'bare-form'"):
            hm.pipeline("bare-form")(empty_call)
        for slug in ("", "Bad", "1a", "a_b", "a" * 65, "-a"):
            with self.subTest(slug), self.refuses(ValueError, "is no slug"):
                hm.pipeline(slug)
        hm.pipeline("a" * 64)

    def test_wrong_triggers_are_refused(self) -> None:
        for wrong in ({}, {"branch": "a", "tag": "b"}):
            with self.refuses(ValueError, "exactly one of branch and tag"):
                hm.push(**wrong)
        with self.refuses(ValueError, "unknown type 'merged'"):
            hm.pull_request(types=["merged"])
        with self.refuses(ValueError, "five fields"):
            hm.schedule("daily")
        with self.refuses(TypeError, "triggers must hold triggers"):
            hm.pipeline("ci", triggers=["push"])  # type: ignore[list-item]

    def test_a_toolchain_stands_for_its_default_actions(self) -> None:
        class Toolchain:
            def default_actions(self) -> tuple[hm.Step, ...]:
                return (hm.sh("test"), hm.sh("lint"))

        @hm.pipeline("p")
        def p() -> object:
            return Toolchain()

        self.assertEqual(commands(rendered()["p"]), ["test", "lint"])
        self.assertEqual(len(self.steps(hm.sh("a"), Toolchain())), 3)


class Targets(SdkTest):
    def test_they_are_made_once_per_render_and_shared(self) -> None:
        made: list[int] = []

        @hm.target()
        def base() -> hm.Step:
            """Doc."""
            made.append(1)
            return hm.sh("base")

        @hm.target(name="other")
        def named(base: hm.Target[hm.Step]) -> hm.Step:
            return base.sh("other")

        @hm.pipeline("p")
        def p(
            base: hm.Target[hm.Step],
            other: "hm.Target[hm.Step]",
            start: Annotated[hm.Step, hm.BaseImage("alpine")],
            count: int = 5,
        ) -> object:
            return [base.sh(f"x{count}"), other, start.sh("y")]

        @hm.pipeline("q")
        def q() -> hm.Step:
            return base()

        self.assertEqual((base.__name__, base.__doc__), ("base", "Doc."))
        self.assertEqual(commands(rendered()["p"]), ["base", "x5", "other", "y"])
        self.assertEqual(made, [1])
        rendered()
        self.assertEqual(made, [1, 1])
        self.assertIs(base(), base())
        self.assertEqual(len(self.steps(p())), 4)

    def test_annotations_for_the_type_checker_only_do_not_hurt(self) -> None:
        @hm.pipeline("p")
        def p(base: "Unknown" = None) -> "Unknown":  # type: ignore[name-defined]  # noqa: F821
            return hm.sh("a")

        self.assertEqual(list(rendered()), ["p"])

    def test_parameters_are_checked_at_decoration(self) -> None:
        def plain(x):  # type: ignore[no-untyped-def]
            pass

        def star(*args):  # type: ignore[no-untyped-def]
            pass

        def stars(**kwargs):  # type: ignore[no-untyped-def]
            pass

        def slash(a=1, /):  # type: ignore[no-untyped-def]
            pass

        for function, text in [
            (plain, "'x' of plain.. has no marker and no default"),
            (star, r"cannot take \*args"),
            (stars, r"cannot take \*\*kwargs"),
            (slash, "positional-only"),
        ]:
            for decorate in (hm.target(), hm.pipeline("p")):
                with self.subTest(text), self.refuses(TypeError, text):
                    decorate(function)

    def test_missing_and_duplicate_ones_are_named(self) -> None:
        @hm.target()
        def present() -> int:
            return 1

        @hm.pipeline("p")
        def p(missing: hm.Target[hm.Step]) -> hm.Step:
            return missing

        with self.refuses(TypeError, "hm: target 'missing' not found\n.*targets: present"):
            rendered()
        with self.refuses(ValueError, "two targets named 'present'"):
            hm.target()(present)
        with self.refuses(TypeError, "with parentheses"):
            hm.target(name=present)  # type: ignore[arg-type]

    def test_a_circle_is_named_with_its_path(self) -> None:
        @hm.target()
        def a(b: hm.Target[hm.Step]) -> hm.Step:
            return b

        @hm.target()
        def b(a: hm.Target[hm.Step]) -> hm.Step:
            return a

        @hm.pipeline("p")
        def p(a: hm.Target[hm.Step]) -> hm.Step:
            return a

        for _ in range(2):
            with self.refuses(RuntimeError, "in a circle: a → b → a"):
                rendered()

    def test_two_functions_of_one_name_are_no_circle(self) -> None:
        def make(inner: Any) -> Any:
            def same() -> hm.Step:
                return inner()

            return same

        @hm.target(name="first")
        def same() -> hm.Step:
            return hm.sh("a")

        second = hm.target(name="second")(make(same))
        self.assertEqual(second().cmd, "a")


class Wrapped(SdkTest):
    """What stands for a function, as the public package takes it."""

    def setUp(self) -> None:
        super().setUp()

        @hm.target()
        def build() -> hm.Step:  # pyright: ignore[reportUnusedFunction]
            return hm.sh("build")

    def test_a_wrapper_has_the_parameters_of_what_it_wraps(self) -> None:
        seen: list[dict[str, Any]] = []

        def logged(function: Any) -> Any:
            @wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                seen.append(kwargs)
                return function(*args, **kwargs)

            return wrapper

        class Counted:
            def __init__(self, function: Any) -> None:
                update_wrapper(self, function)
                self.function = function

            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                return self.function(*args, **kwargs)

        @hm.pipeline("ci")
        @logged
        @logged
        def ci(
            build: hm.Target[hm.Step], start: Annotated[hm.Step, hm.BaseImage("alpine")], count: int = 2
        ) -> object:  # pyright: ignore[reportUnusedFunction]
            return [build.sh("test"), start.sh(f"echo {count}")]

        @hm.pipeline()
        @Counted
        def in_object(build: "hm.Target[hm.Step]") -> hm.Step:  # pyright: ignore[reportUnusedFunction]
            return build

        @hm.pipeline("kept")
        @cache
        def kept(build: hm.Target[hm.Step]) -> hm.Step:  # pyright: ignore[reportUnusedFunction]
            return build.sh("kept")

        @hm.target()
        @logged
        def shared(build: hm.Target[hm.Step]) -> hm.Step:
            return build.sh("shared")

        hm.pipeline("of-target")(shared)
        entries = rendered()
        self.assertEqual(commands(entries["ci"]), ["build", "test", "echo 2"])
        self.assertEqual([sorted(call) for call in seen[:2]], [["build", "count", "start"]] * 2)
        self.assertEqual(commands(entries["in-object"]), ["build"])
        self.assertEqual(commands(entries["kept"]), ["build", "kept"])
        self.assertEqual(commands(entries["of-target"]), ["build", "shared"])

    def test_a_function_that_says_to_wrap_itself_is_taken_as_it_is(self) -> None:
        def circle() -> hm.Step:
            return hm.sh("x")

        circle.__dict__["__wrapped__"] = circle
        hm.pipeline(circle)
        self.assertEqual(list(rendered()), ["circle"])

    def test_a_method_has_its_object(self) -> None:
        class Project:
            def ci(self, build: hm.Target[hm.Step]) -> hm.Step:
                return build.sh("ci")

            @classmethod
            def common(cls, build: hm.Target[hm.Step]) -> hm.Step:
                return build.sh(cls.__name__)

        hm.pipeline("ci")(Project().ci)
        hm.pipeline(Project.common)
        entries = rendered()
        self.assertEqual(commands(entries["ci"]), ["build", "ci"])
        self.assertEqual(commands(entries["common"]), ["build", "Project"])

    def test_what_has_no_name_or_no_parameters_is_refused_with_the_function_to_write(self) -> None:
        def ci(build: hm.Target[hm.Step], times: int) -> hm.Step:
            return build.sh(f"ci {times}")

        class Callable:
            def __call__(self) -> hm.Step:
                return hm.sh("x")

        for wrong, kind in ((partial(ci, times=2), "partial"), (Callable(), "Callable"), (Callable, "type"), (len, "builtin")):
            told = rf"only functions can be decorated, not {kind}.*\n  fix: write a function that calls it"
            with self.subTest(kind):
                for decorate in (hm.pipeline("x"), hm.pipeline, hm.target()):
                    with self.refuses(TypeError, told):
                        decorate(wrong)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def test_a_wrapper_is_checked_by_what_it_wraps(self) -> None:
        def wrapped(function: Any) -> Any:
            return wraps(function)(lambda *args, **kwargs: function(*args, **kwargs))

        @wrapped
        def star(*args: Any) -> None: ...

        @wrapped
        def bare(what) -> None: ...  # type: ignore[no-untyped-def]

        @wrapped
        async def late() -> None: ...

        @wrapped
        def positional(what: hm.Target[hm.Step], /) -> None: ...

        for function, told in (
            (star, r"star\(\) cannot take \*args"),
            (bare, "'what' of bare\(\) has no marker"),
            (late, r"late\(\) is async"),
            (positional, "positional-only parameters \\(got 'what'\\)"),
        ):
            with self.subTest(told), self.refuses(TypeError, told):
                hm.pipeline("ci")(function)


class Names(SdkTest):
    def test_all_of_them_are_there(self) -> None:
        for name in hm.__all__:
            self.assertIsNotNone(getattr(hm, name))
        self.assertIs(hm.pr, hm.pull_request)
        self.assertTrue(hm.Pipeline)

    def test_an_unknown_one_says_which_toolchains_there_are(self) -> None:
        with self.refuses(AttributeError, r"no attribute 'cobol' \(toolchains in this version: "):
            hm.cobol  # noqa: B018
        with self.refuses(AttributeError, r"no attribute 'on_chnge'\n  fix: write on_change$"):
            hm.on_chnge  # noqa: B018
