"""The flag of a wait reaches the steps after it."""

import harmont as hm


@hm.pipeline("p")
def p():
    return [hm.sh("test"), hm.wait(continue_on_failure=True), hm.sh("notify")]
