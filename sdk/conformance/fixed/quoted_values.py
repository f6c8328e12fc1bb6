"""Values of the user are quoted."""

import harmont as hm


@hm.pipeline("p")
def p():
    return [
        hm.rust.toolchain(path="my crate").build(),
        hm.js.project(path="web", pm="npm").run("build; rm -rf /"),
        hm.cmake(path="lib", generator="make", defines={"NAME": "two words"}).build(),
    ]
