"""Barriers between segments."""

import harmont as hm


@hm.pipeline("waits")
def waits():
    build = hm.sh("build")
    return [
        hm.wait(),
        build,
        hm.sh("other"),
        hm.wait(),
        build.sh("test").sh("report"),
        hm.sh("lint"),
        hm.wait(),
        hm.group([hm.sh("deploy"), hm.sh("announce")]),
    ]
