"""Toolchains that the public package no longer has, each as a leaf and with its other actions."""

import harmont as hm


@hm.pipeline("defaults")
def defaults():
    return [
        hm.haskell(path="haskell"),
        hm.haskell(path="stack", tool="stack"),
        hm.ocaml(path="ocaml"),
        hm.perl(path="perl"),
        hm.ruby(path="ruby"),
        hm.dotnet(path="dotnet"),
        hm.gradle(path="gradle"),
        hm.java(path="java", version="8.11.1", java_version="17"),
        hm.kotlin(path="kotlin"),
        hm.php(path="php"),
        hm.elm(path="elm"),
    ]


@hm.pipeline("others")
def others():
    base = hm.sh("prepare", key="base")
    haskell = hm.haskell(base=base, ghc_version="9.6.6")
    stack = hm.haskell(base=base, tool="stack", path="stack")
    ocaml = hm.ocaml(base=base, version="4.14.2")
    perl = hm.perl(base=base)
    ruby = hm.ruby(base=base, version="3.2.6")
    dotnet = hm.dotnet(base=base, version="9.0.100", locked=True)
    kotlin = hm.kotlin(base=base, path="app")
    php = hm.php(base=base)
    elm = hm.elm(base=base, main=None, node_version="20")
    return [
        haskell.doc(),
        haskell.check(),
        stack.doc(),
        stack.check(),
        ocaml.fmt(),
        ocaml.doc(),
        ocaml.dune("exec bin/main.exe"),
        perl.test(flags=("-j 4",)),
        perl.lint(),
        ruby.fmt(),
        ruby.run("rake build"),
        dotnet.pack(configuration="Debug Local"),
        dotnet.publish(),
        kotlin.test(),
        kotlin.task(":app:lint --info"),
        php.lint(),
        php.fmt(),
        php.validate(),
        php.audit(),
        php.run("psalm --no-cache"),
        php.script("post install"),
        elm.build(),
        elm.review(),
    ]


@hm.pipeline("bare")
def bare():
    return [
        hm.haskell.test(path="a b"),
        hm.ocaml.test(path="a b"),
        hm.perl.test(path="a b"),
        hm.ruby.test(path="a b"),
        hm.dotnet.test(path="a b"),
        hm.gradle.test(path="a b"),
        hm.php.test(path="a b", version="8.3", extensions=("intl",)),
        hm.elm.build(path="a b", main="src/My App.elm", output="app.js", image="debian:12"),
    ]
