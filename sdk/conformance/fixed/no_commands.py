"""Leaves without any command are no pipeline, as no leaves are."""

import harmont as hm


@hm.pipeline("p")
def p():
    return [hm.scratch().fork(), hm.wait()]
