"""Compiling loops for the CPU with numba, and sharing them out among its cores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba

from napari_nucseg.system_info import cores

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def compiled(loop: _Loop) -> _Loop:
    """Compile a loop when it is first called; the machine code is kept for the next process.

    Notes
    -----
    numba keeps machine code in ``$NUMBA_CACHE_DIR`` if that is set, else beside the module, else
    in the user's cache folder. A cache is stale only if its own file changed, so a loop may call
    none that is compiled in another file.

    Compiling is waited for once: each loop takes 0.1 s, and each numpy function in it up to
    0.3 s more. So loops get the arrays that they write to, and numpy does what it does as fast.
    """
    return _compile(loop)


def compiled_with_fma(loop: _Loop) -> _Loop:
    """Compile a loop that rounds products and sums once, as torch's do; see `compiled`."""
    return _compile(loop, fastmath={"contract"})


def _compile(loop: _Loop, **options: Any) -> _Loop:
    options |= {"nogil": True, "error_model": "numpy"}
    function: _Loop
    try:
        function = numba.njit(cache=True, **options)(loop)
    except RuntimeError:  # no folder that numba could write to
        function = numba.njit(**options)(loop)
    return function


def share_out(work: Callable[[slice], None], count: int, portion: int) -> None:
    """Cut ``range(count)`` into portions and work on them on all cores.

    Parameters
    ----------
    work : callable
        Called with the slice of one portion, in any order and thread; it should be spent in
        loops of `compiled`, which release the interpreter.
    count : int
        Number of items to share out.
    portion : int
        Number of items to do at once.

    Notes
    -----
    numba's own ``prange`` is not used: where numba has neither OpenMP nor TBB, a second thread
    that enters it ends the process, and with GNU OpenMP so does a fork after it.
    """
    portions = [slice(start, min(start + portion, count)) for start in range(0, count, portion)]
    waiting = iter(portions)

    def work_off() -> None:
        for some in waiting:
            work(some)

    helpers = min(cores(), len(portions)) - 1
    if helpers <= 0:
        work_off()
        return
    with ThreadPoolExecutor(helpers) as pool:
        others = [pool.submit(work_off) for _ in range(helpers)]
        work_off()
        for other in others:
            other.result()
