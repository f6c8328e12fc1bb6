"""Two steps with one key are an error."""

import harmont as hm


@hm.pipeline("p")
def p():
    return [hm.sh("a", key="k"), hm.sh("b", key="k")]
