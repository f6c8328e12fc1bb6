"""Every toolchain object stands for its default actions."""

import harmont as hm


@hm.pipeline("p")
def p():
    return [hm.go(), hm.python(path="api"), hm.cmake(path="lib"), hm.zig(path="z"), hm.elixir()]
