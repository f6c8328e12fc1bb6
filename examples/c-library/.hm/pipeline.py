"""zlib, configured once; three builds fork from that snapshot and run side by side."""

import harmont as hm


@hm.pipeline("c-library")
def c_library():
    configured = hm.sh("./configure", label="configure", cache=hm.on_change("**"))
    library = configured.fork().sh("make -j2 libz.a", label="static library", cache=hm.on_change("**"))
    shared = configured.fork().sh("make -j2 shared && ls -l libz.so*", label="shared library")
    programs = configured.fork().sh("make -j2 all", label="everything")
    tested = programs.sh("make test", label="test")
    installed = library.sh("make install-libs prefix=/tmp/zlib && find /tmp/zlib -name libz.a", label="install")
    return [tested, shared, installed]
