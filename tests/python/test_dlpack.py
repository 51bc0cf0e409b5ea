"""DLPack capsules of a batch's fields: what is in them, read here with ctypes alone, and how long they keep the slot."""

from __future__ import annotations

import ctypes
import gc
import resource
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import cropring
from conftest import PHOTOS, WATCHDOG_S

Load = Callable[..., cropring.Loader]
READ_ONLY, IS_COPIED = 1, 2

python = ctypes.pythonapi
python.PyCapsule_GetPointer.restype = ctypes.c_void_p
python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
python.PyCapsule_GetName.restype = ctypes.c_char_p
python.PyCapsule_GetName.argtypes = [ctypes.py_object]
python.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
USED = {b"dltensor": b"used_dltensor", b"dltensor_versioned": b"used_dltensor_versioned"}


class Tensor(ctypes.Structure):
    """DLTensor of dlpack.h 1.1."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class Managed(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = [("tensor", Tensor), ("manager_ctx", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class ManagedVersioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    ]


def opened(capsule: object) -> Managed | ManagedVersioned:
    name = python.PyCapsule_GetName(capsule)
    kind = {b"dltensor": Managed, b"dltensor_versioned": ManagedVersioned}[name]
    return kind.from_address(python.PyCapsule_GetPointer(capsule, name))


def consumed(capsule: object) -> Managed | ManagedVersioned:
    """The capsule taken over, as a library does that makes a tensor of it."""
    managed = opened(capsule)
    assert python.PyCapsule_SetName(capsule, USED[python.PyCapsule_GetName(capsule)]) == 0
    return managed


def free(managed: Managed | ManagedVersioned) -> None:
    """Calls its deleter as a library does, from a thread that does not have the GIL."""
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(managed.deleter)(ctypes.addressof(managed))


def bytes_of(tensor: Tensor, count: int) -> bytes:
    return ctypes.string_at(tensor.data, count)


def held(loader: cropring.Loader) -> int:
    gc.collect()
    return loader.stats()["slots_held"]


@pytest.fixture
def batch(load: Load) -> Iterator[cropring.Batch]:
    yield next(iter(load()))


CODES = {"i": 0, "u": 1, "f": 2}


@pytest.mark.parametrize("version", [None, (1, 0), (1, 1), (2, 0)])
@pytest.mark.parametrize("name", ["images", "labels", "index", "box", "source_size", "flipped", "status"])
def test_a_capsule_describes_the_field(batch: cropring.Batch, name: str, version: tuple[int, int] | None) -> None:
    array = batch[name]
    capsule = batch.view(name).__dlpack__(max_version=version)
    managed = opened(capsule)
    tensor = managed.tensor
    assert tensor.data == array.__array_interface__["data"][0] and tensor.data % 256 == 0 and tensor.byte_offset == 0
    assert (tensor.device_type, tensor.device_id) == (1, 0)
    assert (tensor.code, tensor.bits, tensor.lanes) == (CODES[array.dtype.kind], array.itemsize * 8, 1)
    assert tuple(tensor.shape[: tensor.ndim]) == array.shape
    assert [stride * array.itemsize for stride in tensor.strides[: tensor.ndim]] == list(array.strides)
    if isinstance(managed, ManagedVersioned):
        assert version is not None and (managed.major, managed.flags) == (1, 0) and managed.minor <= 1
    else:
        assert version is None


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
def test_each_dtype_of_images_has_its_code(load: Load, dtype: str) -> None:
    batch = next(iter(load(dtype=dtype)))
    capsule = batch.view("images").__dlpack__()
    tensor = opened(capsule).tensor
    assert (tensor.code, tensor.bits) == (CODES[np.dtype(dtype).kind], np.dtype(dtype).itemsize * 8)
    assert np.from_dlpack(batch.view("images")).dtype == np.dtype(dtype)


def test_an_old_version_is_asked_for_as_none_is(batch: cropring.Batch) -> None:
    assert isinstance(opened(batch.view("labels").__dlpack__(max_version=(0, 8))), Managed)


def test_the_device_is_the_cpu(batch: cropring.Batch) -> None:
    view = batch.view("images")
    assert view.__dlpack_device__() == (1, 0)
    assert opened(view.__dlpack__(stream=None, dl_device=(1, 0), copy=False)).tensor.device_type == 1


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_a_copy_has_memory_of_its_own_and_keeps_no_slot(load: Load, version: tuple[int, int] | None) -> None:
    loader = load()
    batch = next(iter(loader))
    before, address = batch.images.tobytes(), batch.images.__array_interface__["data"][0]
    capsule = batch.view("images").__dlpack__(max_version=version, copy=True)
    batch.images[...] = 0xAA
    batch.release()
    managed = opened(capsule)
    assert managed.tensor.data != address and managed.tensor.data % 256 == 0
    assert bytes_of(managed.tensor, len(before)) == before
    assert not isinstance(managed, ManagedVersioned) or managed.flags == IS_COPIED
    assert held(loader) == 0
    free(consumed(capsule))


WRONG: dict[str, tuple[dict[str, object], type[Exception], str]] = {
    "a stream": ({"stream": 1}, ValueError, r"stream=1: memory of the CPU has none"),
    "another device": ({"dl_device": (2, 0)}, BufferError, r"dl_device=\(2, 0\): the memory is the CPU's"),
    "another CPU": ({"dl_device": (1, 1)}, BufferError, r"dl_device=\(1, 1\)"),
    "half a device": ({"dl_device": (1,)}, TypeError, r"dl_device=\(1,\): a tuple of two whole numbers"),
    "a version alone": ({"max_version": 1}, TypeError, r"max_version=1: a tuple of two whole numbers"),
    "words for a version": ({"max_version": ("1", "0")}, TypeError, r"max_version=\('1', '0'\)"),
    "a version out of range": ({"max_version": (2**40, 0)}, TypeError, r"two whole numbers"),
    "an unknown keyword": ({"versions": None}, TypeError, r"versions"),
}


@pytest.mark.parametrize("keywords, error, words", WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_with_its_reason(batch: cropring.Batch, keywords: dict[str, object], error: type[Exception], words: str) -> None:
    view = batch.view("images")
    before = sys.getrefcount(view)
    with pytest.raises(error, match=words):
        view.__dlpack__(**keywords)  # type: ignore[union-attr]
    assert sys.getrefcount(view) == before


def test_keywords_alone_are_taken(batch: cropring.Batch) -> None:
    with pytest.raises(TypeError, match="no positional arguments"):
        batch.view("images").__dlpack__(None)  # type: ignore[call-arg]


# ---------------------------------------------------------------- read-only memory


def test_read_only_memory_is_flagged_or_copied(load: Load) -> None:
    """Without a version there is no flag: a copy then, or BufferError."""
    batch = next(iter(load(share="broadcast")))
    view, address = batch.view("images"), batch.images.__array_interface__["data"][0]
    versioned = opened(capsule := view.__dlpack__(max_version=(1, 0), copy=False))
    assert isinstance(versioned, ManagedVersioned) and (versioned.flags, versioned.tensor.data) == (READ_ONLY, address)
    unversioned = opened(other := view.__dlpack__())
    assert unversioned.tensor.data != address
    assert bytes_of(unversioned.tensor, batch.images.nbytes) == batch.images.tobytes()
    copied = opened(third := view.__dlpack__(max_version=(1, 0), copy=True))
    assert isinstance(copied, ManagedVersioned) and copied.flags == IS_COPIED
    with pytest.raises(BufferError, match="read-only memory.*max_version"):
        view.__dlpack__(copy=False)
    del capsule, other, third


def test_numpy_shares_it_and_writes_only_where_it_may(load: Load) -> None:
    for share, writeable in ("split", True), ("broadcast", False):
        loader = load(share=share)
        batch = next(iter(loader))
        array = np.from_dlpack(batch.view("images"))
        assert array.flags.writeable == writeable and np.shares_memory(array, batch.images)
        assert np.array_equal(array, batch.images)
        if not writeable:
            with pytest.raises(TypeError, match="read-write"):
                struct.pack_into("B", batch.view("images"), 0, 1)  # type: ignore[arg-type]


# ---------------------------------------------------------------- how long it keeps the slot


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_the_slot_comes_back_with_the_last_tensor(load: Load, version: tuple[int, int] | None) -> None:
    loader = load()
    batch = next(iter(loader))
    first = consumed(batch.view("images").__dlpack__(max_version=version))
    second = consumed(batch.view("labels").__dlpack__(max_version=version))
    with pytest.raises(BufferError, match="2 array"):
        batch.release()
    del batch
    assert held(loader) == 1
    free(first)
    assert held(loader) == 1
    free(second)
    assert held(loader) == 0


def test_the_slot_comes_back_with_the_last_slice_of_a_tensor(load: Load) -> None:
    loader = load()
    part = np.from_dlpack(next(iter(loader)).view("images"))[1:3, ::2]
    assert held(loader) == 1
    del part
    assert held(loader) == 0


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_a_capsule_that_nobody_consumed_gives_everything_back(load: Load, version: tuple[int, int] | None) -> None:
    loader = load()
    batch = next(iter(loader))
    view = batch.view("images")
    before = sys.getrefcount(view)
    capsules = [view.__dlpack__(max_version=version) for _ in range(100)]
    assert sys.getrefcount(view) == before + 100
    del capsules
    assert sys.getrefcount(view) == before
    del view
    batch.release()
    assert held(loader) == 0


def test_consumed_capsules_leave_no_reference_behind(load: Load) -> None:
    loader = load()
    batch = next(iter(loader))
    view = batch.view("images")
    before = sys.getrefcount(view), sys.getrefcount(type(view))
    for _ in range(100):
        managed = consumed(view.__dlpack__())
        assert sys.getrefcount(view) == before[0] + 1
        free(managed)
        free(consumed(view.__dlpack__(copy=True)))
    assert (sys.getrefcount(view), sys.getrefcount(type(view))) == before


def test_copies_are_freed(load: Load) -> None:
    view = next(iter(load(size=512))).view("images")

    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    free(consumed(view.__dlpack__(copy=True)))
    before = resident_bytes()
    for _ in range(50):
        free(consumed(view.__dlpack__(copy=True)))
    assert resident_bytes() - before < 30e6  # of 157


def test_tensors_may_die_in_any_thread(load: Load) -> None:
    loader = load()
    for _ in range(3):
        batch = next(iter(loader))
        tensors = [consumed(batch.view("images").__dlpack__()) for _ in range(16)]
        del batch
        threads = [threading.Thread(target=free, args=(tensor,)) for tensor in tensors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert held(loader) == 0


def test_a_dying_tensor_waits_for_the_gil(batch: cropring.Batch) -> None:
    """One that dies in a thread of C while Python runs here changes nothing until Python lets go."""
    view = batch.view("images")
    managed = consumed(view.__dlpack__())
    before, thread = sys.getrefcount(view), ctypes.c_ulong()
    with_gil, without_gil = ctypes.PyDLL(None), ctypes.CDLL(None)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(2 * WATCHDOG_S)
    try:
        with_gil.pthread_create(ctypes.byref(thread), None, ctypes.c_void_p(managed.deleter), ctypes.byref(managed))
        with_gil.usleep(50_000)
        meanwhile = sys.getrefcount(view)
        without_gil.pthread_join(thread, None)
    finally:
        sys.setswitchinterval(interval)
    assert (meanwhile, sys.getrefcount(view)) == (before, before - 1)


def test_a_tensor_outlives_its_loader(load: Load) -> None:
    loader = load()
    batch = next(iter(loader))
    before = batch.images.tobytes()
    managed = consumed(batch.view("images").__dlpack__())
    del batch
    loader.close()
    del loader
    gc.collect()
    assert bytes_of(managed.tensor, len(before)) == before
    free(managed)


def test_a_released_batch_has_no_view(batch: cropring.Batch) -> None:
    batch.release()
    with pytest.raises(ValueError, match="the batch was released"):
        batch.view("images")


def test_an_answer_that_was_moved_out_has_its_views(cropper: Callable[..., cropring.Cropper]) -> None:
    """A Cropper whose slots are in use hands out copies: their memory is to be had in the same way."""
    crop = cropper(slots=3)
    path = next(path for path in sorted(PHOTOS.rglob("*.jpg")))
    kept = [crop([path], [0.5], [0.5], [0.2]) for _ in range(4)]
    for batch in kept:
        assert np.shares_memory(np.from_dlpack(batch.view("images")), batch.images)
    assert [batch._lease.released for batch in kept] == [False, True, True, True]


# ---------------------------------------------------------------- forks, and the end of the interpreter

SCRIPT = """
import ctypes, gc, os, sys
import numpy as np, cropring
with_loader = cropring.Loader(sys.argv[1], batch_size=4, size=32, slots=3, threads=2)
batch = next(iter(with_loader))
view = batch.view("images")
array, capsule = np.from_dlpack(view), view.__dlpack__()
before = array.tobytes()
"""

FORK = """
pid = os.fork()
if pid == 0:
    try:
        view.__dlpack__()
    except RuntimeError as error:
        assert "fork" in str(error), error
    else:
        os._exit(9)
    references = sys.getrefcount(view)
    del array, capsule
    gc.collect()
    os._exit(0 if sys.getrefcount(view) == references else 8)
assert os.waitpid(pid, 0)[1] == 0
assert with_loader.stats()["slots_held"] == 1
assert array.tobytes() == before
del array, capsule, view, batch
gc.collect()
assert with_loader.stats()["slots_held"] == 0
"""

AT_EXIT = "sys.modules['kept'] = array, capsule"

# What a library's static destructor does: the deleter is called when there is no interpreter any more.
AFTER_PYTHON = """
python, libc = ctypes.pythonapi, ctypes.CDLL(None)
python.PyCapsule_GetPointer.restype = ctypes.c_void_p
address = python.PyCapsule_GetPointer(ctypes.py_object(capsule), b"dltensor")
python.PyCapsule_SetName(ctypes.py_object(capsule), b"used_dltensor")
deleter = ctypes.c_void_p.from_address(address + 56)
assert libc.__cxa_atexit(deleter, ctypes.c_void_p(address), None) == 0
"""


@pytest.mark.parametrize("rest", [FORK, AT_EXIT, AFTER_PYTHON], ids=["fork", "exit", "after the interpreter"])
def test_nothing_breaks_in_a_forked_child_or_at_the_end(rest: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT + rest, str(PHOTOS)], capture_output=True, text=True, timeout=WATCHDOG_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
