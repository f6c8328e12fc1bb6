# Started by hm as `python -S boot.py FOLDER SECONDS PATIENCE [FILE...]`. Any version of Python can read this file, also one that is too
# old for the packages beside it, and it says so.
import sys


def main():
    if sys.version_info < (3, 11):
        version = ".".join(str(part) for part in sys.version_info[:3])
        sys.stdout.write('{"too_old":"%s"}' % version)
        return 0
    here = __file__.rpartition("/")[0]
    sys.path[:] = [entry for entry in sys.path if entry != here]
    sys.path.insert(0, here)
    # Nothing is written beside the user's files; the packages here are compiled once, on their own terms.
    sys.dont_write_bytecode = True
    sys.pycache_prefix = None
    import hm_host

    return hm_host.main(here, sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])


sys.exit(main())
