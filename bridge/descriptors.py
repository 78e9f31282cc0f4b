"""How many files and sockets this process may have open: a call takes two, a connection one."""

import resource
from typing import Final

DESCRIPTORS_MAX: Final = 65_536


def use_what_is_allowed() -> int:
    """Raise the soft limit up to the hard one, and return it.

    It is 1024 almost everywhere, for the sake of programs that use select(), as none of ours does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return soft
