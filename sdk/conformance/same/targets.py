"""Targets, markers and triggers."""

from typing import Annotated

import harmont as hm


@hm.target()
def base() -> hm.Step:
    return hm.sh("prepare", label="prepare", cache=hm.forever())


@hm.target(name="tests")
def made_of_base(base: hm.Target[hm.Step]) -> tuple[hm.Step, ...]:
    return hm.group([base.sh("unit", label="unit"), base.sh("integration", label="integration")])


@hm.pipeline(
    "ci",
    name="Continuous",
    triggers=(hm.push(branch="main"), hm.push(tag=["v*", "r*"]), hm.pr(), hm.pull_request("main", types=["closed"])),
    allow_manual=False,
)
def ci(tests: hm.Target[tuple[hm.Step, ...]], alpine: Annotated[hm.Step, hm.BaseImage("alpine:3.20")], count: int = 2):
    return [tests, alpine.sh(f"echo {count}", label="echo")]


@hm.pipeline("nightly")
def nightly(base: "hm.Target[hm.Step]"):
    return base.sh("soak", label="soak")
