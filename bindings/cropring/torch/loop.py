"""One loop over batches that are carried to a device: what is taken when, and handed out in which order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import CropringError
from .carrier import Carrier, Copy
from .pinned import Owner
from .tensors import TensorBatch


class Bookmark:
    """How far the loops came, by what was handed out; the Loader itself is ahead by what is on its way.

    Parameters
    ----------
    read : callable
        Where the Loader stands.  None: that is asked for nowhere.
    """

    def __init__(self, read: Callable[[], Any] | None) -> None:
        self._read = read
        self._loops = 0
        self.place: Any = None  # None: where the Loader stands

    def begin_loop(self) -> int:
        if self.place is None:
            self.place = self.read()
        self._loops += 1
        return self._loops

    def read(self) -> Any:
        return None if self._read is None else self._read()

    def move(self, loop: int, place: Any) -> None:
        """Of the newest loop; another one is over."""
        if loop != self._loops:
            raise CropringError("this loop is over: another loop over the loader began")
        self.place = place


class DeviceLoop(Iterator[TensorBatch]):
    """One loop.  It begins when its first batch is asked for.

    A batch is waited for only when none is on its way; those beyond it, up to `prefetch`, are taken when they are there already and a slot
    to fill stays with the worker.  What the loader raises comes after the batches before it.

    Parameters
    ----------
    batches : iterator of TensorBatch
        In slots.
    owner : callable
        Whose ring they are in; None: nobody's now.
    carrier : Carrier
        Made for `prefetch` + 1.
    prefetch : int
        Copies that are begun beyond the batch that is handed out.
    bookmark : Bookmark
    """

    def __init__(
        self, batches: Iterator[TensorBatch], owner: Callable[[], Owner | None], carrier: Carrier, prefetch: int, bookmark: Bookmark
    ) -> None:
        self._batches = batches
        self._owner = owner
        self._carrier = carrier
        self._prefetch = prefetch
        self._bookmark = bookmark
        self._loop = 0
        self._on_the_way: deque[tuple[Copy, Any]] = deque()
        self._ending: Exception | None = None  # comes after those
        self._is_moving = False  # still True after it: an exception came out, perhaps when a batch was in nobody's hands

    def __next__(self) -> TensorBatch:
        if self._is_moving:
            raise CropringError(
                "an exception, such as that of Ctrl-C, came while a batch was on its way: begin another loop, or a Loader with this one's state"
            )
        self._is_moving = True
        if self._loop == 0:
            self._loop = self._bookmark.begin_loop()
        self._carrier.slots.give_back()
        while self._ending is None and len(self._on_the_way) <= self._prefetch and self._may_take():
            self._take()
        if not self._on_the_way:
            self._end()
        copy, place = self._on_the_way.popleft()
        batch = self._carrier.deliver(copy)
        self._bookmark.move(self._loop, place)
        self._is_moving = False
        return batch

    def _may_take(self) -> bool:
        """Another batch can be had at once, or there is none to go on with."""
        owner = self._owner()
        if owner is None:  # the loop's first batch brings one
            return not self._on_the_way
        ring = owner.ring
        if not self._on_the_way:
            if ring.ready_count == 0 or ring.held_count >= ring.hold:
                self._carrier.slots.wait()  # the worker may have nothing else to fill
            return True
        return ring.ready_count > 0 and ring.held_count < ring.hold

    def _take(self) -> None:
        try:
            batch = next(self._batches)
        except Exception as error:
            self._ending = error
            return
        place = self._bookmark.read()
        owner = self._owner()
        assert owner is not None  # the batch is from its ring
        self._carrier.attend(owner)
        self._on_the_way.append((self._carrier.begin(batch), place))

    def _end(self) -> None:
        """Raises what the loader raised; who goes on asks it anew."""
        ending, self._ending = self._ending, None
        assert ending is not None
        self._carrier.slots.wait()  # whoever has had all batches holds no slot
        if isinstance(ending, StopIteration):
            self._bookmark.move(self._loop, None)
        self._is_moving = False
        try:
            raise ending
        finally:
            del ending  # or the error, its traceback and this frame would keep each other
