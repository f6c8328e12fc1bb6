"""JavaScript and TypeScript projects with Node, Bun or Deno."""

from __future__ import annotations

from harmont._js_detect import Detected, detect, has_file
from harmont._record import record
from harmont._shell import quote
from harmont._step import Step
from harmont._toolchain import action, base_step, install, refuse, version_number, within
from harmont.cache import on_change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, Unpack

    from harmont._toolchain import StepOptions

    PackageManager = Literal["npm", "pnpm", "yarn-classic", "yarn-berry", "bun"]
    Runtime = Literal["node", "bun", "deno"]

_BUN = "curl -fsSL https://bun.sh/install | BUN_INSTALL=/usr/local bash"
_DENO = "curl -fsSL https://deno.land/install.sh | sh"
_NODE_VERSION = "22"
# Command for the dependencies, lock file, prefix of a script's name.
_MANAGERS = {
    "npm": ("npm ci", "package-lock.json", "npm run"),
    "pnpm": ("pnpm install --frozen-lockfile", "pnpm-lock.yaml", "pnpm run"),
    "yarn-classic": ("yarn install --frozen-lockfile", "yarn.lock", "yarn run"),
    "yarn-berry": ("yarn install --immutable", "yarn.lock", "yarn run"),
    "bun": ("bun install --frozen-lockfile", "bun.lock", "bun run"),
    "deno": ("deno install", "deno.lock", "deno task"),
}


@record(eq=False)
class JsProject:
    """A machine with a runtime and the dependencies of the project at `path`."""

    path: str
    installed: Step
    run_prefix: str
    tag: str

    def install(self) -> Step:
        """The step that installs the dependencies."""
        return self.installed

    def run(self, script: str, **options: Unpack[StepOptions]) -> Step:
        """Runs a script of package.json, or a task of deno."""
        if not isinstance(script, str) or not script:
            raise ValueError(f"hm.js: run needs the name of a script, got {script!r}")
        return action(
            self.installed, self.tag, script, within(self.path, f"{self.run_prefix} {quote(script)}"), options
        )

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.install(),)


class JsEntry:
    """`hm.js.project(...)`; `hm.ts` is the same.

    >>> import harmont as hm
    >>> hm.js.project(path="web", pm="pnpm").run("build").cmd
    'cd web && pnpm run build'
    """

    def project(
        self,
        *,
        path: str = ".",
        pm: PackageManager | None = None,
        runtime: Runtime | None = None,
        version: str | None = None,
        image: str | None = None,
        base: Step | None = None,
    ) -> JsProject:
        """Installs the runtime, the package manager and the dependencies.

        What is not given comes from package.json (`engines`, `packageManager`), then from the lock file that is there;
        otherwise Node 22 and npm.
        """
        found = detect(path) if pm is None or runtime is None else Detected(runtime=None, pm=None, pinned=None)
        chosen_runtime = runtime or ("node" if pm is not None else found.runtime or "node")
        manager = _manager(chosen_runtime, pm, found)
        needs_unzip = chosen_runtime != "node" or manager == "bun"
        packages = "curl ca-certificates unzip" if needs_unzip else "curl ca-certificates"
        step = base_step(chosen_runtime, packages, image, base)
        step = install(step, chosen_runtime, "install", _runtime_command(chosen_runtime, version))
        if chosen_runtime == "node" and manager != "npm":
            step = _with_manager(step, manager, found.pinned if pm is None else None, path)
        command, lock, prefix = _MANAGERS[manager]
        if manager == "bun" and has_file(path, "bun.lockb") and not has_file(path, "bun.lock"):
            lock = "bun.lockb"
        deps = step.sh(within(path, command), label=f":{chosen_runtime}: deps", cache=on_change(f"{path}/{lock}"))
        return JsProject(path=path, installed=deps, run_prefix=prefix, tag=chosen_runtime)


def _manager(runtime: str, pm: str | None, found: Detected) -> str:
    if runtime not in ("node", "bun", "deno"):
        raise refuse("js", "runtime", runtime, 'use "node", "bun" or "deno"')
    if pm is not None and (pm not in _MANAGERS or pm == "deno"):
        known = ", ".join(f'"{name}"' for name in _MANAGERS if name != "deno")
        raise refuse("js", "pm", pm, f"use one of {known}")
    if runtime == "deno":
        if pm is not None:
            raise ValueError('hm.js: runtime="deno" has its own package manager\n  fix: leave pm out')
        return "deno"
    if runtime == "bun":
        if pm not in (None, "bun"):
            raise ValueError('hm.js: runtime="bun" has its own package manager\n  fix: leave pm out')
        return "bun"
    return pm or found.pm or "npm"


def _runtime_command(runtime: str, version: str | None) -> str:
    if runtime == "node":
        major = (version or _NODE_VERSION).removesuffix(".x")
        if not version_number(major, parts=(1,)):
            raise refuse("js", "version", version, 'use a major version of Node such as "22"')
        return f"curl -fsSL https://deb.nodesource.com/setup_{major}.x | bash - && apt-get install -y nodejs"
    if version is not None and not version_number(version, parts=(2, 3)):
        raise refuse("js", "version", version, 'use a version such as "1.2" or "1.2.0"')
    if runtime == "bun":
        return _BUN if version is None else f'{_BUN} -s "bun-v{version}"'
    deno = _DENO if version is None else f'{_DENO} -s "v{version}"'
    return f"{deno} && ln -sf $HOME/.deno/bin/deno /usr/local/bin/deno"


def _with_manager(step: Step, manager: str, pinned: str | None, path: str) -> Step:
    if manager == "bun":
        command = _BUN
    elif pinned is not None:
        command = f"corepack enable {pinned.partition('@')[0]} && corepack install -g {quote(pinned)}"
    else:
        command = "corepack enable pnpm" if manager == "pnpm" else "corepack enable"
    if pinned is None:
        return install(step, "node", manager, command)
    return step.sh(command, label=f":node: {manager}", cache=on_change(f"{path}/package.json"))


js = JsEntry()
ts = js
