"""A first pipeline: one cached step, two that branch off it, one that waits for both."""

import harmont as hm


@hm.pipeline("hello", triggers=[hm.push(branch="main"), hm.pull_request()])
def hello() -> hm.Pipeline:
    greeting = hm.sh(
        "echo hello > greeting.txt",
        label="write",
        image="host",
        cache=hm.forever(),
    )
    loud = greeting.sh("tr a-z A-Z < greeting.txt", label="loud")
    count = greeting.sh("wc -c greeting.txt", label="count")
    done = hm.sh("echo all said", label="done", image="host")
    return (loud, count, hm.wait(), done)
