"""Installers pick the machine's architecture."""

import harmont as hm


@hm.pipeline("go")
def go():
    return [hm.go(path="api").test(), hm.go.vet(path="api", version="1.22.0")]


@hm.pipeline("zig")
def zig():
    return [hm.zig(path="lib").build(), hm.zig.test(path="lib", version="0.13.0")]


@hm.pipeline("elixir")
def elixir():
    project = hm.elixir(path="shop", otp_version="26.2", elixir_version="1.17.0")
    return [project.compile(), project.dialyzer(), project.release(), project.mix("phx.routes")]
