"""Elixir on Erlang/OTP."""

from __future__ import annotations

from harmont._record import record
from harmont._step import Step
from harmont._toolchain import BareAction, action, base_step, install, refuse, version_number, within, words
from harmont.cache import on_change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Unpack

    from harmont._toolchain import StepOptions

_TAG = "ex"
_ENV = {"ELIXIR_ERL_OPTIONS": "+fnu"}
_PACKAGES = "curl ca-certificates git unzip build-essential autoconf libncurses-dev libssl-dev"
_ERLANG = "https://binaries2.erlang-solutions.com/debian/pool/contrib/e/esl-erlang/esl-erlang"
_ELIXIR = "https://github.com/elixir-lang/elixir/releases/download"
_OTP_RELEASE = "erl -eval 'erlang:display(erlang:system_info(otp_release)), halt().' -noshell"


@record(eq=False)
class ElixirProject:
    """A machine with Elixir and the dependencies of the project at `path`."""

    path: str
    installed: Step

    def compile(self, **options: Unpack[StepOptions]) -> Step:
        """`mix compile` that fails on warnings."""
        return self._action("compile", "mix compile --warnings-as-errors", options)

    def test(self, *, partitions: int | None = None, **options: Unpack[StepOptions]) -> Step:
        """`mix test`"""
        split = "" if partitions is None else f" --partitions {int(partitions)}"
        return self._action("test", f"mix test{split}", options)

    def format(self, **options: Unpack[StepOptions]) -> Step:
        """Fails when a file is not formatted."""
        return self._action("format", "mix format --check-formatted", options)

    def credo(self, *, strict: bool = True, **options: Unpack[StepOptions]) -> Step:
        """`mix credo --strict`"""
        return self._action("credo", f"mix credo{' --strict' if strict else ''}", options)

    def plt(self) -> Step:
        """The types of the dependencies for dialyzer, cached until mix.lock changes. One step however often it is asked for."""
        fields = self.__dict__
        if "_plt" not in fields:
            lock = on_change(f"{self.path}/mix.lock")
            fields["_plt"] = self._action("plt", "mix dialyzer --plt", {"cache": lock})
        return fields["_plt"]

    def dialyzer(self, **options: Unpack[StepOptions]) -> Step:
        """`mix dialyzer`, from the step of `plt()`."""
        return _mix(self.plt(), "dialyzer", within(self.path, "mix dialyzer"), options)

    def sobelow(self, **options: Unpack[StepOptions]) -> Step:
        """`mix sobelow --exit`"""
        return self._action("sobelow", "mix sobelow --exit", options)

    def deps_audit(self, **options: Unpack[StepOptions]) -> Step:
        """`mix deps.audit`"""
        return self._action("deps-audit", "mix deps.audit", options)

    def hex_audit(self, **options: Unpack[StepOptions]) -> Step:
        """`mix hex.audit`"""
        return self._action("hex-audit", "mix hex.audit", options)

    def release(self, **options: Unpack[StepOptions]) -> Step:
        """`mix release` for production."""
        return self._action("release", "MIX_ENV=prod mix release", options)

    def mix(self, task: str, **options: Unpack[StepOptions]) -> Step:
        """Any task, with its arguments: `project.mix("ecto.migrate --quiet")`."""
        if not isinstance(task, str) or not task.split():
            raise ValueError(f"hm.elixir: mix needs a task, got {task!r}")
        return self._action(task, " ".join(["mix", *words((task,), "task")]), options)

    def default_actions(self) -> tuple[Step, ...]:
        """What the project stands for as a leaf."""
        return (self.compile(), self.test(), self.format())

    def _action(self, name: str, cmd: str, options: StepOptions) -> Step:
        return _mix(self.installed, name, within(self.path, cmd), options)


def _mix(parent: Step, name: str, cmd: str, options: StepOptions) -> Step:
    merged: Any = {**options, "env": {**_ENV, **(options.get("env") or {})}}
    return action(parent, _TAG, name, cmd, merged)


class ElixirEntry:
    """`hm.elixir(path=...)` and the bare form `hm.elixir.test(path=...)`.

    >>> import harmont as hm
    >>> hm.elixir(path="shop").mix("ecto.migrate").cmd
    'cd shop && mix ecto.migrate'
    """

    compile = BareAction()
    test = BareAction()
    format = BareAction()
    credo = BareAction()
    plt = BareAction()
    dialyzer = BareAction()
    sobelow = BareAction()
    deps_audit = BareAction()
    hex_audit = BareAction()
    release = BareAction()
    mix = BareAction()

    def __call__(
        self,
        *,
        path: str = ".",
        elixir_version: str = "1.18.3",
        otp_version: str = "27.3.3",
        image: str | None = None,
        base: Step | None = None,
    ) -> ElixirProject:
        """Installs Erlang and Elixir and fetches the dependencies of the project at `path`."""
        if not version_number(elixir_version, parts=(3,)):
            raise refuse("elixir", "elixir_version", elixir_version, 'use a version like "1.18.3"')
        if not version_number(otp_version, parts=(1, 2, 3)):
            raise refuse("elixir", "otp_version", otp_version, 'use a version like "27.3.3"')
        erlang = install(
            base_step(_TAG, _PACKAGES, image, base),
            _TAG,
            "erlang-install",
            f"curl -fsSL {_ERLANG}_{otp_version}-1~debian~bookworm_$(dpkg --print-architecture).deb -o /tmp/erlang.deb"
            f" && (dpkg -i /tmp/erlang.deb || apt-get install -fy) && {_OTP_RELEASE}",
        )
        otp = otp_version.partition(".")[0]
        links = " && ".join(
            f"ln -sf /usr/local/elixir/bin/{name} /usr/local/bin/{name}" for name in ("elixir", "mix", "iex")
        )
        elixir = install(
            erlang,
            _TAG,
            "elixir-install",
            f"curl -fsSL {_ELIXIR}/v{elixir_version}/elixir-otp-{otp}.zip -o /tmp/elixir.zip"
            f" && unzip -q /tmp/elixir.zip -d /usr/local/elixir && {links}"
            " && mix local.hex --force && mix local.rebar --force && elixir --version",
            env=_ENV,
        )
        deps = elixir.sh(
            within(path, "mix deps.get && mix deps.compile"),
            label=f":{_TAG}: mix-deps",
            cache=on_change(f"{path}/mix.lock"),
            env=_ENV,
        )
        return ElixirProject(path=path, installed=deps)


elixir = ElixirEntry()
