"""Two waits in a row are one barrier."""

import harmont as hm


@hm.pipeline("p")
def p():
    return [hm.sh("a"), hm.wait(), hm.wait(), hm.sh("b")]
