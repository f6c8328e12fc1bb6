"""C and C++ projects."""

import harmont as hm


@hm.pipeline("cmake")
def cmake():
    project = hm.cmake(path="lib", compiler="clang-18", defines={"WITH_TLS": "ON", "SHARED": True, "LEVEL": 2}, target="all_tests")
    return [
        project.test(),
        project.install(prefix="/opt/lib"),
        project.fmt(),
        project.lint(),
        project.package(generator="DEB"),
    ]


@hm.pipeline("presets")
def presets():
    toolchain = hm.cmake(compiler="gcc", ccache=False)
    return [toolchain.project(path=".", preset="ci", deps="vcpkg").test(parallel=False)]
