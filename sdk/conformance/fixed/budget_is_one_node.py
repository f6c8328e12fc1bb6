"""A step and its copy with a budget are one node."""

import harmont as hm


@hm.pipeline("p")
def p():
    build = hm.sh("build", label="build")
    return [build.sh("test"), hm.timeout("10m", build)]
