"""Compiling loops for the CPU with numba, and sharing them out among its cores."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

from napari_nucseg.system_info import cores

_Loop = TypeVar("_Loop", bound=Callable[..., Any])
_DIGEST = 32  # bytes of a SHA-256
_logger = logging.getLogger(__name__)


def compiled(loop: _Loop) -> _Loop:
    """Compile a loop when it is first called; the machine code is kept for the next process.

    Notes
    -----
    numba keeps machine code in ``$NUMBA_CACHE_DIR`` if that is set, else beside the module, else
    in the user's cache folder. A cache is stale only if its own file changed, so a loop may call
    none that is compiled in another file. What was cut off or damaged there is compiled again.

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
        function._cache = _CheckedCache(loop)  # type: ignore[attr-defined]
    except RuntimeError:  # no folder that numba could write to
        function = numba.njit(**options)(loop)
    return function


class _CheckedFiles(IndexDataCacheFile):
    """Files of machine code, each with a checksum at its end, behind what numba reads.

    numba unpickles whatever it finds, so a file that a crash or a full disk cut off would make
    each call fail, and one with wrong bytes in the middle would run them.
    """

    def _dump(self, obj: Any) -> bytes:
        content: bytes = super()._dump(obj)
        return content + sha256(content).digest()

    def _load_index(self) -> dict[Any, str]:
        """Read which files there are; none where the list is damaged, so that it is replaced."""
        path = Path(self._index_path)
        try:
            with path.open("rb") as file:
                pickle.load(file)  # numba's version
                self._check(path, file.read())
            found: dict[Any, str] = super()._load_index()
        except FileNotFoundError:
            return {}
        except Exception as error:  # noqa: BLE001 - unpickling garbage raises whatever it likes
            _logger.info("compiling again: %s: %s", path, error)
            return {}
        return found

    def _load_data(self, name: str) -> Any:
        """Read machine code; numba takes an OSError for a file that is not there."""
        path = Path(self._data_path(name))
        self._check(path, path.read_bytes())
        return super()._load_data(name)

    @staticmethod
    def _check(path: Path, content: bytes) -> None:
        if sha256(content[:-_DIGEST]).digest() != content[-_DIGEST:]:
            raise OSError(f"{path}: its checksum is wrong")


class _CheckedCache(FunctionCache):
    """numba's cache of a function, with files that are checked."""

    def __init__(self, loop: Callable[..., Any]) -> None:
        super().__init__(loop)
        self._cache_file = _CheckedFiles(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep machine code; where it cannot be kept, the next process compiles again."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _logger.warning("machine code cannot be kept: %s", error)


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
