"""Toolchains: the chain of steps, the commands, the options."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import harmont as hm
from harmont._toolchain import words
from tests.support import SdkTest

ENV = ". $HOME/.cargo/env && cd . && "


class Chain(SdkTest):
    def test_apt_base_install_action(self) -> None:
        steps = self.steps(hm.go(path="api", image="debian:12").test())
        self.assertEqual([step["key"] for step in steps], ["apt-base", "install", "test"])
        self.assertEqual([step.get("cache", {}).get("policy") for step in steps], ["ttl", "forever", None])
        self.assertEqual([step.get("image") for step in steps], ["debian:12", None, None])
        self.assertEqual(steps[0]["cmd"], "apt-get update && apt-get install -y curl ca-certificates git")

    def test_a_base_of_ones_own_takes_the_place_of_apt(self) -> None:
        base = hm.sh("prepare", key="mine")
        for toolchain in (hm.go(base=base), hm.zig(base=base), hm.python(base=base), hm.rust.toolchain(base=base)):
            self.assertEqual(self.keys(toolchain)[0], "mine")
        with self.refuses(TypeError, "base= must be a step"):
            hm.go(base="debian")  # type: ignore[arg-type]

    def test_options_of_the_step_pass_through(self) -> None:
        step = hm.go().test(label="l", env={"A": "1"}, cwd="sub", key="k", cache=hm.forever(), allow_failure=True)
        self.assertEqual((step.label, step.env, step.key_override, step.allow_failure), ("l", {"A": "1"}, "k", True))
        self.assertEqual(step.cmd, "cd sub && cd . && go test ./...")
        with self.refuses(TypeError, "unexpected keyword argument 'nope'"):
            hm.go().test(nope=1)  # type: ignore[call-arg]

    def test_every_toolchain_stands_for_its_default_actions(self) -> None:
        leaves: dict[str, tuple[object, list[str]]] = {
            "go": (hm.go(), ["test", "vet", "fmt"]),
            "python": (hm.python(), ["test", "lint", "fmt"]),
            "uv": (hm.py.uv(), ["test"]),
            "rust": (hm.rust.toolchain(), ["build"]),
            "rust project": (hm.rust.project(), ["warmup", "test", "clippy", "fmt"]),
            "js": (hm.js.project(), ["deps"]),
            "cmake": (hm.cmake(), ["build", "test"]),
            "cmake project": (hm.cmake(path="."), ["build", "test"]),
            "zig": (hm.zig(), ["build", "test", "fmt"]),
            "zig project": (hm.zig(path="x"), ["x-build", "x-test", "x-fmt"]),
            "elixir": (hm.elixir(), ["compile", "test", "format"]),
            "haskell": (hm.haskell(), ["deps", "build", "test"]),
            "ocaml": (hm.ocaml(), ["deps", "build", "test"]),
            "perl": (hm.perl(), ["deps", "test"]),
            "ruby": (hm.ruby(), ["bundle-install", "test", "lint"]),
            "dotnet": (hm.dotnet(), ["restore", "build", "test", "fmt"]),
            "gradle": (hm.gradle(), ["deps", "build", "check"]),
            "java": (hm.java(version="8.11.1"), ["gradle-install", "deps", "build", "check"]),
            "kotlin": (hm.kotlin(), ["deps", "build", "check"]),
            "php": (hm.php(), ["deps", "test"]),
            "elm": (hm.elm(), ["deps", "build", "test", "fmt"]),
        }
        for name, (leaf, expected) in leaves.items():
            with self.subTest(name):
                self.assertEqual(self.keys(leaf)[-len(expected) :], expected)

                @hm.pipeline(name.replace(" ", "-"))
                def decorated(leaf: object = leaf) -> object:
                    return leaf

        written = json.loads(hm.dump_registry_json())["pipelines"]
        for (name, (leaf, _)), entry in zip(leaves.items(), written, strict=True):
            with self.subTest(name, form="decorator"):
                self.assertEqual(entry["definition"], json.loads(json.dumps(hm.pipeline([leaf]))))

    def test_the_bare_form_is_the_same_as_the_long_one(self) -> None:
        for bare, long in [
            (hm.go.vet(path="x", version="1.20"), hm.go(path="x", version="1.20").vet()),
            (hm.python.typecheck(path="x", paths="src"), hm.python(path="x").typecheck(paths="src")),
            (hm.py.uv.run("tool --all", path="x"), hm.py.uv(path="x").run("tool --all")),
            (hm.zig.test(), hm.zig(path=".").test()),
            (hm.cmake.fmt(path="x", fix=True), hm.cmake(path="x").fmt(fix=True)),
            (hm.elixir.mix("phx.routes", path="x"), hm.elixir(path="x").mix("phx.routes")),
            (hm.haskell.doc(tool="stack", path="x"), hm.haskell(tool="stack", path="x").doc()),
            (hm.ocaml.dune("exec x", version="4.14.2"), hm.ocaml(version="4.14.2").dune("exec x")),
            (hm.perl.test(path="x", flags=("-v",)), hm.perl(path="x").test(flags=("-v",))),
            (hm.ruby.run("rake", path="x"), hm.ruby(path="x").run("rake")),
            (hm.dotnet.pack(locked=True, configuration="A"), hm.dotnet(locked=True).pack(configuration="A")),
            (hm.kotlin.task("lint", java_version="17"), hm.kotlin(java_version="17").task("lint")),
            (hm.php.script("x", extensions=("gd",)), hm.php(extensions=("gd",)).script("x")),
            (hm.elm.build(main=None, path="x"), hm.elm(main=None, path="x").build()),
        ]:
            with self.subTest(bare.cmd):
                self.assertEqual(hm.pipeline([bare]), hm.pipeline([long]))

    def test_user_values_are_quoted(self) -> None:
        for step, part in [
            (hm.go(path="a b").test(), "cd 'a b' && go test"),
            (hm.rust.toolchain(path="$(x)").build(), "cd '$(x)' && cargo"),
            (hm.js.project(path="a b").run("x; y"), "cd 'a b' && npm run 'x; y'"),
            (hm.cmake(path="a b").install(prefix="/opt/x y"), "cmake --install 'a b/build' --prefix '/opt/x y'"),
            (hm.cmake(path="p", defines={"A": "x y"}).build(), " '-DA=x y' "),
            (hm.cmake(path="p", generator="make").build(), " -G 'Unix Makefiles' "),
            (hm.python(path=".").typecheck(paths=["a b", "c"]), "ty check 'a b' c"),
            (hm.elixir().mix("a; b"), "mix 'a;' b"),
            (hm.ocaml().dune("a; b"), "dune 'a;' b"),
            (hm.perl().test(flags=("a;b",)), "prove -lr 'a;b' t"),
            (hm.dotnet().test(configuration="a b"), "-c 'a b'"),
            (hm.gradle(path="a b").task("a; b"), "cd 'a b' && ./gradlew --no-daemon 'a;' b"),
            (hm.php().script("a; b"), "run-script 'a; b'"),
            (hm.elm(main="a b.elm").build(output="c d"), "elm make 'a b.elm' --optimize --output='c d'"),
        ]:
            with self.subTest(part):
                self.assertIn(part, step.cmd or "")
        self.assertEqual(words(["--jobs 4", "'a b'", "x;y"], "flags"), ["--jobs", "4", "'a b'", "'x;y'"])

    def test_wrong_values_are_refused(self) -> None:
        for make, text in [
            (lambda: hm.go(version="go1.2"), "hm.go: invalid version 'go1.2'"),
            (lambda: hm.go(path="").test(), "path must not be empty"),
            (lambda: hm.zig(version="master"), "hm.zig: invalid version"),
            (lambda: hm.python(uv_version="0.4"), "hm.python: invalid uv_version"),
            (lambda: hm.py.uv().run(" "), "run needs a command"),
            (lambda: hm.rust.toolchain(version="a b"), "hm.rust: invalid version"),
            (lambda: hm.cmake(compiler="icc"), "hm.cmake: invalid compiler"),
            (lambda: hm.cmake(generator="xcode"), "hm.cmake: invalid generator"),
            (lambda: hm.cmake(path=".", deps="conan"), "hm.cmake: invalid deps"),
            (lambda: hm.cmake(preset="ci"), "are of a project"),  # type: ignore[call-overload]
            (lambda: hm.elixir(elixir_version="1.18"), "invalid elixir_version"),
            (lambda: hm.elixir(otp_version="x"), "invalid otp_version"),
            (lambda: hm.elixir().mix(""), "mix needs a task"),
            (lambda: hm.js.project(pm="yarn"), "hm.js: invalid pm 'yarn'"),  # type: ignore[arg-type]
            (lambda: hm.js.project(runtime="x"), "hm.js: invalid runtime"),  # type: ignore[arg-type]
            (lambda: hm.js.project(runtime="bun", pm="npm"), "has its own package manager"),
            (lambda: hm.js.project(runtime="deno", pm="npm"), "has its own package manager"),
            (lambda: hm.js.project(version="20.1"), "hm.js: invalid version"),
            (lambda: hm.apt_base(packages=()), "packages must not be empty"),
            (lambda: hm.haskell(tool="nix"), "hm.haskell: invalid tool"),  # type: ignore[arg-type]
            (lambda: hm.haskell(tool="stack", ghc_version="9.8.4"), "stack.yaml chooses the GHC"),
            (lambda: hm.haskell(ghc_version="9"), "hm.haskell: invalid ghc_version"),
            (lambda: hm.ocaml(version="5"), "hm.ocaml: invalid version"),
            (lambda: hm.ocaml().dune(" "), "dune needs a command"),
            (lambda: hm.ruby(version="3.3.6; x"), "hm.ruby: invalid version"),
            (lambda: hm.ruby().run(""), "hm.ruby: run needs a command"),
            (lambda: hm.dotnet(version="8"), "hm.dotnet: invalid version"),
            (lambda: hm.gradle(version="latest"), "hm.gradle: invalid version"),
            (lambda: hm.java(java_version="21.0"), "hm.java: invalid java_version"),
            (lambda: hm.kotlin().task(""), "hm.kotlin: task needs a name"),
            (lambda: hm.php(version="8"), "hm.php: invalid version"),
            (lambda: hm.php().run(" "), "hm.php: run needs a command"),
            (lambda: hm.php().script(""), "hm.php: script needs a name"),
            (lambda: hm.elm(version="0.19"), "hm.elm: invalid version"),
            (lambda: hm.elm(main=""), "hm.elm: invalid main"),
            (lambda: hm.elm(node_version="lts"), "hm.elm: invalid node_version"),
        ]:
            with self.subTest(text), self.refuses(ValueError, text):
                make()
        with self.refuses(TypeError, "packages must be a list or tuple"):
            hm.apt_base(packages="git")


class Rust(SdkTest):
    def command(self, step: hm.Step) -> str:
        assert step.cmd is not None
        return step.cmd.removeprefix(ENV)

    def test_the_installer(self) -> None:
        steps = self.steps(hm.rust.toolchain(version="1.81.0", components=()).installed)
        self.assertEqual(
            steps[1]["cmd"],
            "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --default-toolchain 1.81.0"
            " --profile minimal && . $HOME/.cargo/env && rustc --version && cargo --version",
        )
        for version in ("stable", "beta", "nightly-2024-01-01", "1.81", "1"):
            hm.rust.toolchain(version=version)

    def test_the_order_of_options(self) -> None:
        rust = hm.rust.toolchain()
        for step, expected in [
            (rust.build(), "cargo build --locked"),
            (rust.build(packages=("a", "b")), "cargo build -p a -p b --locked"),
            (
                rust.build(workspace=True, exclude=("c",), release=True),
                "cargo build --workspace --exclude c --release --locked",
            ),
            (
                rust.build(
                    no_default_features=True,
                    features=("x", "y"),
                    all_targets=True,
                    target="wasm32-wasip1",
                    profile="dist",
                    locked=False,
                    flags=("--jobs 2",),
                ),
                "rustup target add wasm32-wasip1 && cargo build --all-targets --no-default-features --features x,y"
                " --target wasm32-wasip1 --profile dist --jobs 2",
            ),
            (rust.test(nextest=True, all_features=True), "cargo nextest run --all-features --locked"),
            (rust.doctest(flags=("x",)), "cargo test --locked x --doc"),
            (rust.clippy(), "cargo clippy --all-targets --locked -- -D warnings"),
            (rust.clippy(deny_warnings=False, all_targets=False), "cargo clippy --locked"),
            (
                rust.clippy(extra_lints=("-W clippy::pedantic",)),
                "cargo clippy --all-targets --locked -- -D warnings -W clippy::pedantic",
            ),
            (rust.fmt(), "cargo fmt --all --check"),
            (rust.fmt(all=False, check=False), "cargo fmt"),
            (
                rust.doc(document_private_items=True, packages=("x",)),
                "cargo doc --no-deps --document-private-items -p x --locked",
            ),
            (rust.warmup(), "cargo build --workspace --tests --locked"),
            (rust.feature_powerset(), "cargo hack check --feature-powerset --depth 2 --no-dev-deps"),
            (
                rust.feature_powerset(each_feature=True, skip=("a", "b"), keep_going=True, no_dev_deps=False),
                "cargo hack check --each-feature --skip a,b --keep-going",
            ),
        ]:
            with self.subTest(expected):
                self.assertEqual(self.command(step), expected)
        self.assertEqual(rust.doc(env={"A": "1"}).env, {"RUSTDOCFLAGS": "-D warnings", "A": "1"})
        self.assertIsNone(rust.doc(deny_warnings=False).env)

    def test_conflicts(self) -> None:
        rust = hm.rust.toolchain()
        for make, text in [
            (lambda: rust.build(packages=("a",), exclude=("b",)), "packages= and exclude="),
            (lambda: rust.build(exclude=("b",)), "add workspace=True"),
            (lambda: rust.build(all_features=True, features=("x",)), "all_features="),
            (lambda: rust.build(release=True, profile="x"), "release=True and profile="),
        ]:
            with self.subTest(text), self.refuses(ValueError, text):
                make()
        with self.refuses(TypeError, "unexpected keyword argument 'release'"):
            rust.doc(release=True)  # type: ignore[call-arg]
        with self.refuses(TypeError, "features must be a list"):
            rust.build(features="x")

    def test_a_project_starts_from_its_warmup(self) -> None:
        project = hm.rust.project(path="sub/")
        steps = self.steps(*project.ci(nextest=True, doc=True))
        self.assertEqual([step["key"] for step in steps[2:]], ["warmup", "test", "doctest", "clippy", "fmt", "doc"])
        self.assertEqual(steps[2]["cache"]["paths"], ["sub/Cargo.lock", "sub/**/Cargo.toml", "sub/**/*.rs"])
        self.assertIs(project.test().parent, project.warmup)
        self.assertIs(project.fmt().parent, project.toolchain.installed)
        self.assertIn("--workspace", project.clippy().cmd or "")
        self.assertNotIn("--workspace", project.test(packages=("a",)).cmd or "")


class Python(SdkTest):
    def test_a_pinned_uv_is_installed_by_its_own_installer(self) -> None:
        steps = self.steps(hm.py.uv(version="0.5.1").lock_check())
        self.assertIn("https://astral.sh/uv/0.5.1/install.sh | sh && ", steps[1]["cmd"])
        self.assertEqual(steps[2]["cache"]["paths"], ["./uv.lock", "./pyproject.toml"])
        self.assertEqual(steps[3]["cmd"], "cd . && uv lock --check")

    def test_a_run_is_labelled_by_its_program(self) -> None:
        self.assertEqual(hm.py.uv().run("python -m x").label, ":python: python")


class JavaScript(SdkTest):
    def setUp(self) -> None:
        super().setUp()
        self._folder = tempfile.TemporaryDirectory()
        self._before = os.getcwd()
        os.chdir(self._folder.name)

    def tearDown(self) -> None:
        os.chdir(self._before)
        self._folder.cleanup()
        super().tearDown()

    def detected(self, package: str | None, *files: str) -> str:
        for entry in Path(".").iterdir():
            entry.unlink()
        for name in files:
            Path(name).touch()
        if package is not None:
            Path("package.json").write_text(package)
        project = hm.js.project()
        return f"{project.tag}: {project.installed.cmd}".replace("cd . && ", "")

    def test_what_the_project_says(self) -> None:
        node = "node: npm ci"
        for package, files, expected in [
            (None, (), node),
            ("no json", (), node),
            ("[]", (), node),
            ('{"engines": [], "packageManager": 5}', (), node),
            ('{"packageManager": "npm@10.2.3"}', ("yarn.lock",), node),
            ('{"packageManager": "pnpm@9.1.0"}', ("yarn.lock",), "node: pnpm install --frozen-lockfile"),
            ('{"packageManager": "yarn@1.22.0"}', (), "node: yarn install --frozen-lockfile"),
            ('{"packageManager": "yarn@4.0.0"}', ("bun.lock",), "node: yarn install --immutable"),
            ('{"packageManager": "bun@1.1.0"}', (), "node: bun install --frozen-lockfile"),
            ('{"packageManager": "other@1"}', (), node),
            ('{"engines": {"deno": "1", "bun": "1"}}', (), "bun: bun install --frozen-lockfile"),
            ('{"engines": {"deno": "1"}, "packageManager": "pnpm@9"}', (), "deno: deno install"),
            ('{"engines": {"node": "20"}}', ("bun.lock",), "node: bun install --frozen-lockfile"),
            ('{"engines": {"node": "20"}}', ("deno.lock",), node),
            (None, ("bun.lock", "pnpm-lock.yaml"), "bun: bun install --frozen-lockfile"),
            (None, ("deno.lock", "pnpm-lock.yaml"), "node: pnpm install --frozen-lockfile"),
            (None, ("deno.lock", "yarn.lock"), "deno: deno install"),
            (None, ("yarn.lock", "package-lock.json"), "node: yarn install --frozen-lockfile"),
        ]:
            with self.subTest(package=package, files=files):
                self.assertEqual(self.detected(package, *files), expected)

    def test_a_binary_lock_file_of_bun_is_watched(self) -> None:
        self.detected(None, "bun.lockb")
        self.assertEqual(hm.js.project().installed.cache, hm.on_change("./bun.lockb"))

    def test_how_the_package_manager_is_installed(self) -> None:
        self.detected('{"packageManager": "pnpm@9.1.0"}')
        pinned = hm.js.project().installed.parent
        assert pinned is not None
        self.assertEqual(pinned.cmd, "corepack enable pnpm && corepack install -g pnpm@9.1.0")
        self.assertEqual(pinned.cache, hm.on_change("./package.json"))
        chosen = hm.js.project(pm="yarn-berry").installed.parent
        assert chosen is not None
        self.assertEqual((chosen.cmd, chosen.cache), ("corepack enable", hm.forever()))

    def test_runtimes_and_versions(self) -> None:
        self.detected(None)
        for project, command in [
            (hm.js.project(version="20"), "setup_20.x | bash - && apt-get install -y nodejs"),
            (hm.js.project(version="22.x"), "setup_22.x | bash"),
            (hm.js.project(runtime="bun", version="1.1.0"), 'BUN_INSTALL=/usr/local bash -s "bun-v1.1.0"'),
            (hm.js.project(runtime="deno", version="1.40.0"), 'install.sh | sh -s "v1.40.0" && ln -sf'),
        ]:
            with self.subTest(command):
                self.assertIn(command, self.steps(project)[1]["cmd"])
        self.assertEqual(hm.js.project(runtime="deno").run("build").cmd, "cd . && deno task build")
        self.assertIs(hm.ts, hm.js)


class Others(SdkTest):
    def test_installers_pick_the_machines_architecture(self) -> None:
        for toolchain, part in [
            (hm.go(), "linux-$(uname -m | sed 's/x86_64/amd64/;s/aarch64/arm64/').tar.gz"),
            (hm.zig(), "/0.14.1/zig-$(uname -m)-linux-0.14.1.tar.xz"),
            (hm.zig(version="0.14.0"), "/0.14.0/zig-linux-$(uname -m)-0.14.0.tar.xz"),
            (hm.elixir(), "bookworm_$(dpkg --print-architecture).deb"),
            (hm.haskell(), "/~ghcup/$(uname -m)-linux-ghcup"),
            (hm.ocaml(), "/opam-2.3.0-$(uname -m | sed 's/aarch64/arm64/')-linux"),
            (hm.gradle(), "/ga/linux/$(uname -m | sed 's/x86_64/x64/')/jdk/"),
        ]:
            with self.subTest(part):
                self.assertIn(part, self.steps(toolchain)[1]["cmd"])

    def test_cmake(self) -> None:
        project = hm.cmake(path="p", compiler="clang-18", ccache=False, target="app", preset="ci", defines={"A": "1"})
        self.assertEqual(
            project.build().cmd,
            "cd p && cmake --preset ci -DA=1 && cmake --build build --parallel $(nproc) --target app",
        )
        self.assertTrue(
            (project.test().cmd or "").startswith("cmake --build p/build --parallel $(nproc) --target app &&")
        )
        steps = self.steps(hm.cmake(path="p", deps="vcpkg", compiler="gcc-13").lint())
        self.assertTrue(steps[0]["cmd"].endswith("clang-format clang-tidy gcc-13 g++-13"))
        self.assertEqual(steps[2]["cache"]["paths"], ["p/vcpkg.json"])
        self.assertIn("-DCMAKE_C_COMPILER=gcc-13 -DCMAKE_CXX_COMPILER=g++-13", steps[3]["cmd"])

    def test_environments_of_toolchains_give_way_to_the_users(self) -> None:
        for step in (
            hm.ocaml().test(env={"OPAMYES": "0", "A": "1"}),
            hm.php().test(env={"COMPOSER_ALLOW_SUPERUSER": "0", "A": "1"}),
            hm.dotnet().test(env={"DOTNET_NOLOGO": "0", "A": "1"}),
        ):
            with self.subTest(step.cmd):
                self.assertEqual(sorted((step.env or {}).values())[:2], ["0", "1"])
                self.assertEqual(len(step.env or {}), 3)

    def test_a_task_of_gradle_is_labelled_without_colons(self) -> None:
        self.assertEqual(hm.gradle().task(":app:lint --info").label, ":gradle: app lint")

    def test_elixir_shares_one_plt(self) -> None:
        project = hm.elixir()
        keys = self.keys(project.dialyzer(), project.dialyzer(label="again"), project.plt())
        self.assertEqual(keys[-3:], ["plt", "dialyzer", "again"])
        self.assertEqual(project.test(env={"A": "1"}, partitions=4).env, {"ELIXIR_ERL_OPTIONS": "+fnu", "A": "1"})
