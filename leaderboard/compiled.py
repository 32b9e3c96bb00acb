"""`@compiled`: a loop in machine code, made by numba once and kept on disk for later processes.

numba knows by a function's own file whether what it kept is still good. So a loop calls compiled functions of its own
file alone. Imported only where something is ranked: numba takes a third of a second to import.
"""

import numba


def compiled(function):
    """numba.njit, without the interpreter's lock, from the cache where there is one."""
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written: compile in each process
        return numba.njit(nogil=True, error_model="numpy")(function)
