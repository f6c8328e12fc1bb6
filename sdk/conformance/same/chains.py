"""Chains, forks, images, environments and every way to a key."""

import harmont as hm


@hm.pipeline("chains", env={"SHARED": "1", "LEVEL": "pipeline"}, timeout="1h30m")
def chains():
    base = hm.sh("make", label=":gear: Build", image="debian:12")
    left = base.fork("left").sh("make check", label="Test", env={"LEVEL": "step"})
    right = base.fork("right").sh("make lint", key="own-key").sh("make report")
    plain = hm.scratch().sh("true", label="twice").sh("false", label="Twice")
    runner = hm.scratch().sh("echo", runner="docker", runner_args={"privileged": True, "ports": [80, 81]})
    return [left, right, plain, runner, hm.sh("ls", cwd="src/lib"), hm.timeout("5m", hm.sh("sleep 1"))]


@hm.pipeline("chains-again")
def again():
    return (hm.sh("one").sh("two"), hm.sh("✓", label="✓"), hm.sh("x", label=":a::b:c"))
