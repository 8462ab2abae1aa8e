"""Work beside the steps: threads with a bounded queue, whose callers may go away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from gpt2_edge_server.errors import busy

Result = TypeVar("Result")
Gone = Callable[[], bool]


# Less than this is put together at once: it would wait longer for a thread than it takes.
LIGHT_TOKENS = 4096


def nobody_left() -> bool:
    """The `gone` of work that is done while its caller waits."""
    return False


class GaveUp(Exception):  # noqa: N818 - nothing went wrong
    """Raised by work in a pool whose caller has gone."""


class Pool:
    """`threads` threads; `places` pieces of work may run or wait at one time."""

    def __init__(self, name: str, threads: int, places: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"gpt2-edge {name}")
        self._places, self._taken = places, 0
        self._lock = threading.Lock()

    async def run(self, work: Callable[[Gone], Result]) -> Result:
        """What `work` returns. Its argument says whether nobody waits for it any more.

        Raises ApiError (429) where all places are taken.
        """
        with self._lock:
            if self._taken >= self._places:
                raise busy(f"all {self._places} places are taken; try again later")
            self._taken += 1
        gone = threading.Event()
        future = self._executor.submit(work, gone.is_set)
        future.add_done_callback(self._release)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            gone.set()
            raise

    @property
    def taken(self) -> int:
        """Pieces of work that run or wait."""
        return self._taken

    def stop(self) -> None:
        """Take no more work, and drop what has not begun."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _release(self, _: Future[Result]) -> None:
        with self._lock:
            self._taken -= 1
