"""`cropring crop`: what it writes, what it takes, what it says, and how it ends."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import os
import random
import re
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import PHOTOS, WATCHDOG_S, children, eventually, is_running, ring_names
from cropring._cli import executable

FILES = sorted(path for path in PHOTOS.rglob("*") if path.is_file())
Done = subprocess.CompletedProcess[bytes]
Crop = Callable[..., Done]


@pytest.fixture
def crop(tmp_path: Path) -> Crop:
    """`crop(*words, lines=b"...")`: runs `cropring crop` in tmp_path to its end."""

    def run(*words: object, lines: bytes = b"", env: dict[str, str] | None = None) -> Done:
        command = [executable(), "crop", *map(str, words)]
        return subprocess.run(command, input=lines, capture_output=True, cwd=tmp_path, timeout=WATCHDOG_S, env=os.environ | (env or {}))

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """`start(*words)`: the same, running, with standard input open."""
    started = []

    def run(*words: object, before: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
        command = [executable(), "crop", *map(str, words)]
        started.append(subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=before))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def expected(path: Path, x: float, y: float, scale: float, window: tuple[int, int], most: float = 1, channels: int = 3, resample: int = 2) -> NDArray[np.uint8]:
    """The written rule, in float32, and Pillow's pixels."""
    image = Image.open(path)
    if channels == 1 and image.format == "JPEG":
        image.draft("L", image.size)
    share = np.minimum(np.float32(scale), np.float32(most))
    begin, size = [], []
    for side, place in zip(image.size, (x, y)):
        size.append(max(2, int(np.float32(side) * share)))
        begin.append(min(int(np.float32(place) * np.float32(side)), side - size[-1]))
    box = (begin[0], begin[1], begin[0] + size[0], begin[1] + size[1])
    return np.asarray(image.convert("RGB" if channels == 3 else "L").crop(box).resize((window[1], window[0]), resample)).reshape(*window, channels)


def left_over(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def nameless(process: subprocess.Popen[bytes], folder: Path) -> Path:
    """The output in `folder` that the process writes, which has no name yet."""
    found: list[Path] = []

    def look() -> list[Path]:
        for place in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it is closed meanwhile
                if re.fullmatch(re.escape(str(folder)) + r"/#\d+ \(deleted\)", os.readlink(place)):
                    found[:] = [place]
        return found

    eventually(look, "an output without a name")
    return found[0]


def refuse_nameless_files() -> None:
    """From here on this process and its children are refused O_TMPFILE, as NFS and FUSE refuse it."""
    number = {"x86_64": 257, "aarch64": 56}[os.uname().machine]  # openat
    load, jump_equal, jump_set, answer = 0x20, 0x15, 0x45, 0x06
    program = [(load, 0, 0, 0), (jump_equal, 0, 3, number), (load, 0, 0, 32), (jump_set, 0, 1, 0o20000000)]  # its flags
    program += [(answer, 0, 0, 0x50000 | errno.EOPNOTSUPP), (answer, 0, 0, 0x7FFF0000)]
    lines = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(lines)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, header):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP with a filter
        raise OSError(ctypes.get_errno(), "no filter")


# ---------------------------------------------------------------- what is written


@pytest.mark.parametrize(("flags", "arguments"), [
    ((), {}), (("--max-img-percent=0.4",), {"most": 0.4}), (("--resample=nearest",), {"resample": 0}), (("--channels=1",), {"channels": 1}),
])  # fmt: skip
def test_the_array_is_pillows_for_the_rule(crop: Crop, tmp_path: Path, flags: tuple[str, ...], arguments: dict[str, float]) -> None:
    seed = int(os.environ.get("CROPRING_TEST_SEED", time.time_ns() % 1_000_000))
    print(f"CROPRING_TEST_SEED={seed}")
    chance = random.Random(seed)
    files = [file for file in FILES if not arguments.get("channels") or file.suffix == ".jpg"]
    windows = [(file, *(round(chance.random(), 3) for _ in range(3))) for file in files for _ in range(4)] + [(files[0], 1.0, 1.0, 0.0), (files[1], 1, 1, 1)]
    lists = [",".join(str(window[number]) for window in windows) for number in (1, 2, 3)]
    done = crop("-o", "c.npy", "-w", "24x40", "-x", lists[0], "-y", lists[1], f"--scale={lists[2]}", *flags, *(window[0] for window in windows))
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == f"cropring: c.npy: {len(windows)} crops of 24x40, 0 bad\n"
    array = np.load(tmp_path / "c.npy")
    assert array.shape == (len(windows), 24, 40, arguments.get("channels", 3)) and array.dtype == np.uint8
    assert (tmp_path / "c.npy").read_bytes()[:128].endswith(b" \n")
    for row, (file, x, y, scale) in zip(array, windows):
        assert (row == expected(file, x, y, scale, (24, 40), **arguments)).all(), (file.name, x, y, scale)  # type: ignore[arg-type]


def test_the_sheet_has_the_crops_in_reading_order(crop: Crop, tmp_path: Path) -> None:
    for columns, grid in ((None, (6, 6)), (5, (7, 5)), (1, (34, 1)), (99, (1, 34))):
        words = [] if columns is None else [f"--columns={columns}"]
        done = crop("-o", "sheet.png", "-w", 32, "--scale", 0.5, "-x", 0.25, *words, *FILES, env={"MALLOC_PERTURB_": "165"})
        assert done.returncode == 0
        sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
        rows, across = grid
        assert sheet.shape == (rows * 32, across * 32, 3) and len(FILES) == 34
        tiles = sheet.reshape(rows, 32, across, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
        for tile, file in zip(tiles, FILES):
            assert (tile == expected(file, 0.25, 0, 0.5, (32, 32))).all()
        assert not tiles[34:].any()  # black
    assert left_over(tmp_path) == ["sheet.png"]


def test_a_grey_sheet_of_wide_crops(crop: Crop, tmp_path: Path) -> None:
    files = [file for file in FILES if file.suffix == ".jpg"][:6]
    assert crop("-o", "SHEET.PNG", "-w", "8x32", "--channels=1", *files).returncode == 0
    image = Image.open(tmp_path / "SHEET.PNG")
    assert (image.mode, image.size) == ("L", (64, 24))  # 2 columns, 3 rows: nearly square
    assert (np.asarray(image)[8:16, 32:] == expected(files[3], 0, 0, 1, (8, 32), channels=1)[..., 0]).all()


def test_an_earlier_output_is_replaced_when_the_new_one_is_whole(crop: Crop, tmp_path: Path) -> None:
    (tmp_path / "c.npy").write_bytes(b"of an earlier run")
    assert crop("-o", "c.npy", "--on-error=stop", FILES[0], "nowhere.jpg").returncode == 3
    assert (tmp_path / "c.npy").read_bytes() == b"of an earlier run"
    assert crop("-o", "c.npy", FILES[0]).returncode == 0
    assert np.load(tmp_path / "c.npy").shape == (1, 224, 224, 3) and left_over(tmp_path) == ["c.npy"]


# ---------------------------------------------------------------- what is taken


def test_lines_have_paths_and_perhaps_numbers(crop: Crop, tmp_path: Path) -> None:
    (tmp_path / "photos").symlink_to(PHOTOS)
    names = ["photos/animals/cat.jpg", str(FILES[3]), "./photos/space/rocket.jpg", "photos/../photos/people/portrait.png", "photos/flowers/zinnia.png"]
    ends = ["\t0.5\t0.25\t0.125", "", "\t\t\t", "\t\t1\t", "\t0\t\t1"]
    lines = "\n".join(name + end for name, end in zip(names, ends)).encode()  # the last line has no end
    done = crop("-o", "c.npy", "-w", 16, "-x", 0.1, "-y", 0.2, "--scale", 0.3, lines=lines)
    assert (done.returncode, done.stderr) == (0, b"cropring: c.npy: 5 crops of 16x16, 0 bad\n")
    numbers = [(0.5, 0.25, 0.125), (0.1, 0.2, 0.3), (0.1, 0.2, 0.3), (0.1, 1, 0.3), (0, 0.2, 1)]
    for row, name, (x, y, scale) in zip(np.load(tmp_path / "c.npy"), names, numbers, strict=True):
        assert (row == expected(tmp_path / name, x, y, scale, (16, 16))).all(), name
    assert crop("-o", "d.npy", "-w", 16, "-x", 0.1, "-y", 0.2, "--scale", 0.3, "-", lines=lines + b"\n").returncode == 0
    assert (tmp_path / "d.npy").read_bytes() == (tmp_path / "c.npy").read_bytes()


def test_paths_that_end_in_nul_may_be_anything(crop: Crop, tmp_path: Path) -> None:
    names = [b"with\ttab.jpg", b"with\nnewline.jpg", b" caf\xe9 .jpg", b"-o.jpg"]
    for name, file in zip(names, FILES):
        (tmp_path / os.fsdecode(name)).write_bytes(file.read_bytes())
    for lines in (b"\0".join(names), b"\0".join(names) + b"\0"):
        done = crop("--null", "-o", "c.npy", "-w", 8, lines=lines)
        assert done.returncode == 0, done.stderr
        assert np.load(tmp_path / "c.npy").shape == (4, 8, 8, 3)
    assert crop("-o", "c.npy", "--", "-o.jpg").returncode == 0


def test_thousands_of_paths_flow_through(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """Crops are written while paths still come, and memory does not grow with their number."""
    Image.new("RGB", (40, 40), (200, 100, 0)).save(tmp_path / "small.png")
    process = start("-o", "c.npy", "-w", 32)
    assert process.stdin
    for _ in range(10):
        process.stdin.write(b"small.png\n" * 1000)
    process.stdin.flush()
    part = nameless(process, tmp_path)
    assert left_over(tmp_path) == ["small.png"]
    eventually(lambda: part.stat().st_size > 9000 * 32 * 32 * 3, "most of the first crops in the file")
    assert not (tmp_path / "c.npy").exists()
    process.stdin.write(b"small.png\n" * 10_000)
    process.stdin.flush()
    eventually(lambda: part.stat().st_size > 19_000 * 32 * 32 * 3, "58 MB in the file")
    peak_kb = int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[0])
    _, said = process.communicate(timeout=WATCHDOG_S)
    assert (process.returncode, said) == (0, b"cropring: c.npy: 20,000 crops of 32x32, 0 bad\n")
    array = np.load(tmp_path / "c.npy", mmap_mode="r")
    assert array.shape == (20_000, 32, 32, 3) and (array[::999] == (200, 100, 0)).all()
    if "asan" not in executable():
        assert peak_kb < 24 << 10


def test_the_environment_is_for_serve(crop: Crop, tmp_path: Path) -> None:
    done = crop("-o", "c.npy", FILES[0], env={"CROPRING_SIZE": "7", "CROPRING_CROP": "center", "CROPRING_SEED": "x"})
    assert done.returncode == 0 and np.load(tmp_path / "c.npy").shape == (1, 224, 224, 3)


# ---------------------------------------------------------------- what is wrong


def test_bad_files_are_named_and_black(crop: Crop, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "cut.jpg").write_bytes(FILES[0].read_bytes()[:4000])
    (tmp_path / "text\n.jpg").write_bytes(b"no image at all")
    (tmp_path / "folder.jpg").mkdir()
    bad = {"nowhere.jpg": "there is no such file", "empty.jpg": "it is empty", "cut.jpg": "it ends before its pixels do"}
    bad |= {"text\n.jpg": "it is no JPEG, PNG or BMP", "folder.jpg": "it is a folder; name the files in it"}
    words = [part for name in bad for part in (FILES[0], name)]
    for output in ("c.npy", "c.png"):
        done = crop("-o", output, "-w", 16, "--columns=1" if output == "c.png" else "-j2", *words)
        assert done.returncode == 3
        assert done.stderr.decode().splitlines() == [
            *(f"cropring: warning: {name}: {reason}".replace("\n", "\\n") for name, reason in bad.items()),
            f"cropring: {output}: 10 crops of 16x16, 5 bad",
        ]
    array = np.load(tmp_path / "c.npy")
    assert not array[1::2].any() and (array[::2] == array[0]).all() and array[0].any()
    assert (np.asarray(Image.open(tmp_path / "c.png")) == array.reshape(-1, 16, 3)).all()
    assert crop("-q", "-o", "c.npy", *words).stderr == b""


def test_every_one_of_many_bad_files_is_named(crop: Crop) -> None:
    done = crop("-o", "c.npy", "-w", 8, lines=b"".join(b"no-%d.jpg\n" % number for number in range(500)))
    assert done.returncode == 3 and done.stderr.count(b"there is no such file") == 500 and b"no-499.jpg" in done.stderr


def test_stop_ends_at_the_first_bad_file(crop: Crop, tmp_path: Path) -> None:
    done = crop("--on-error", "stop", "-o", "c.npy", *FILES, "nowhere.jpg", *FILES)
    assert done.returncode == 3 and b"nowhere.jpg" in done.stderr and len(done.stderr.splitlines()) == 1
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-o", "a.npy", "-x", "1.5", "a"], "--x: '1.5' is not a number between 0 and 1"),
        (["-o", "a.npy", "-y", "0,,1", "a"], "--y: '' is not a number between 0 and 1"),
        (["-o", "a.npy", "--scale", "0.5,nan", "a", "b"], "--scale: 'nan' is not a number"),
        (["-o", "a.npy", "--scale=-1", "a"], "--scale: '-1' is not a number"),
        (["-o", "a.npy", "-x", "0,1,1", "a", "b"], "--x: 3 numbers for 2 paths"),
        (["-o", "a.npy", "-x", "0,1"], "--x: 2 numbers need as many PATHS"),
        (["-o", "a.npy", "-w", "0", "a"], "--window: '0' is not a side in pixels"),
        (["-o", "a.npy", "--channels=2", "a"], "--channels: '2' is not 3 or 1"),
        (["-o", "a.npy", "--on-error=substitute", "a"], "--on-error: 'substitute' is not zero or stop"),
        (["-o", "a.npy", "--columns=3", "a"], "--columns is for a contact sheet"),
        (["-o", "a.png", "--columns=65536", "a"], "--columns: '65536' is not a whole number between 0 and 65535"),
        (["-o", "a.npy", "--null", "a"], "--null is for paths from standard input"),
        (["-o", "a.npy", "a", "-"], "cannot be one of several"),
        (["-o", "a.npy", ""], "path 1 is empty"),
        (["-o", "a.jpg", "a"], "ends in neither .png (a contact sheet) nor .npy (an array)"),
        (["-o", ".npy", "a"], "ends in neither .png"),
        (["a"], "say -o sheet.png or -o crops.npy"),
        (["-o", "a.npy", "--vindow=3", "a"], "unknown flag '--vindow'; did you mean --window?"),
        (["-o", "a.npy", "--size=3", "a"], "unknown flag '--size'"),
        (["-o", "", "a"], "--output: '' is not a value"),
        (["-o", "a.png", "-w", "8192", *["a"] * 3], "3 crops of 8192x8192 are more than the 256 MB"),
        (["-o", "a.png", "-w", "100", "--columns=1", *["a"] * 700], "70000x100 pixels large, over 65535; say other --columns"),
    ],
)
def test_wrong_usage_is_told_in_one_sentence(crop: Crop, tmp_path: Path, words: list[str], text: str) -> None:
    done = crop(*words, lines=b"a\n")
    assert done.returncode == 2 and text in done.stderr.decode() and not done.stdout and left_over(tmp_path) == []
    assert len(done.stderr.splitlines()) == (1 if b"cropring: error:" in done.stderr else 2)  # what is wrong with flags, and where to read on


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (b"", "standard input names no files"),
        (b"\n", "line 1: it names no file"),
        (b"%\t0\t0\t2\n", "line 1: scale: '2' is not a number between 0 and 1"),
        (b"%\n%\tleft\t0\t1\n", "line 2: x: 'left' is not a number"),
        (b"%\n%\n%\t0.5\n", "line 3: 2 fields; PATH alone or PATH<TAB>X<TAB>Y<TAB>SCALE"),
        (b"%\t0\t0\n", "line 1: 3 fields"),
        (b"%\t0\t0\t1\t\n", "line 1: more than 4 fields"),
        (b"\t0\t0\t1\n", "line 1: it names no file"),
        (b"%\0%\0", "line 1: a NUL; paths that end in one need --null"),
        (b"a" * 8192, "line 1: longer than the 8191 bytes that a line may have"),
        (b"%\n" * 400 + b"%\t1", "line 401: 2 fields"),
    ],
)
def test_a_wrong_line_is_told_by_its_number(crop: Crop, tmp_path: Path, lines: bytes, text: str) -> None:
    done = crop("-o", "c.npy", "-w", "4", lines=lines.replace(b"%", bytes(FILES[1])))
    assert done.returncode == 2 and f"standard input{'' if 'names no files' in text else ','} {text.removeprefix('standard input ')}" in done.stderr.decode()
    assert left_over(tmp_path) == []


def test_a_file_of_nul_paths_without_nuls_is_told(crop: Crop) -> None:
    done = crop("-0", "-o", "c.npy", lines=b"a.jpg\n" * 2000)
    assert done.returncode == 2 and b"path 1: longer than the 8191 bytes that a path may have; does it end in NUL?" in done.stderr


def test_outputs_that_cannot_be_written_are_told_before_any_work(crop: Crop, tmp_path: Path) -> None:
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    for output, code, text in (
        ("nowhere/c.npy", 1, "nowhere/c.npy cannot be written: No such file or directory"),
        ("folder.npy", 2, "folder.npy is there, and no ordinary file"),
        ("pipe.npy", 2, "pipe.npy is there, and no ordinary file"),
        ("x" * 250 + ".npy", 1, "File name too long"),
    ):
        done = crop("-o", output, "nowhere.jpg")  # of which nothing is said
        assert done.returncode == code and text in done.stderr.decode() and len(done.stderr.splitlines()) == 1
    assert left_over(tmp_path) == ["folder.npy", "pipe.npy"]


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """The largest file that the process may write stands for the disk."""
    for output in ("c.npy", "c.png"):
        command = f"ulimit -f 128; trap '' XFSZ; exec {executable()} crop -w 8 -o {output}"
        chance, small = random.Random(1), sorted(FILES, key=lambda file: file.stat().st_size)[:8]
        lines = b"".join(b"%b\t%.3f\t%.3f\t%.3f\n" % (bytes(file), *(chance.random() for _ in range(3))) for file in small * 200)
        done = subprocess.run(["bash", "-c", command], input=lines, cwd=tmp_path, capture_output=True, timeout=WATCHDOG_S)
        assert done.returncode == 1 and f"{output} cannot be written: File too large" in done.stderr.decode(), done
        assert left_over(tmp_path) == []


# ---------------------------------------------------------------- how it ends


def worker_of(process: subprocess.Popen[bytes]) -> int:
    """Waits for the process's child."""
    found: list[int] = []

    def look() -> list[int]:
        found[:] = sorted(children(process.pid))
        return found

    eventually(look, "a worker")
    return found[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_both_at_once_and_leaves_nothing(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, number: signal.Signals) -> None:
    process = start("-o", "c.npy", "-w", 16)
    assert process.stdin
    process.stdin.write((str(FILES[0]) + "\n").encode() * 500)
    process.stdin.flush()
    worker = worker_of(process)
    part = nameless(process, tmp_path)
    eventually(lambda: part.stat().st_size > 128, "the first crops in the file")
    process.send_signal(number)
    assert process.wait(WATCHDOG_S) == -number  # the shell says 130
    assert left_over(tmp_path) == []
    eventually(lambda: not is_running(worker), "the worker gone")


def test_nothing_is_left_of_a_command_that_is_killed(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    (tmp_path / "c.npy").write_bytes(b"of an earlier run")
    process = start("-o", "c.npy", "-w", 16)
    assert process.stdin
    process.stdin.write((str(FILES[0]) + "\n").encode() * 500)
    process.stdin.flush()
    part = nameless(process, tmp_path)
    eventually(lambda: part.stat().st_size > 128, "the first crops in the file")
    process.kill()
    process.wait(WATCHDOG_S)
    assert left_over(tmp_path) == ["c.npy"] and (tmp_path / "c.npy").read_bytes() == b"of an earlier run"


def test_a_file_system_without_nameless_files_has_a_hidden_one(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL, None):
        process = start("-o", "c.npy", "-w", 16, before=refuse_nameless_files)
        assert process.stdin
        process.stdin.write((str(FILES[0]) + "\n").encode() * 500)
        process.stdin.flush()
        eventually(lambda: any(part.stat().st_size > 128 for part in tmp_path.glob(".c.npy.*.part")), "the first crops in a hidden file")
        if number is None:
            _, said = process.communicate(timeout=WATCHDOG_S)
            assert (process.returncode, said) == (0, b"cropring: c.npy: 500 crops of 16x16, 0 bad\n")
            assert np.load(tmp_path / "c.npy").shape == (500, 16, 16, 3) and left_over(tmp_path) == ["c.npy"]
            break
        process.send_signal(number)
        process.wait(WATCHDOG_S)
        parts = left_over(tmp_path)
        assert len(parts) == (number == signal.SIGKILL)
        for part in parts:
            (tmp_path / part).unlink()


def test_streams_that_are_closed_are_no_files(start: Callable[..., subprocess.Popen[bytes]], crop: Crop, tmp_path: Path) -> None:
    """Or the log would be written into the output, or into the ring."""
    command = f"exec {executable()} crop -v -w 8 -o c.npy nowhere.jpg {FILES[0]} 0<&- 1>&- 2>&-"
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path, timeout=WATCHDOG_S).returncode == 3
    assert crop("-w", 8, "-o", "d.npy", "nowhere.jpg", FILES[0]).returncode == 3
    assert (tmp_path / "c.npy").read_bytes() == (tmp_path / "d.npy").read_bytes()
    process = start("-w", 8, "-o", "e.npy", before=lambda: os.close(2))
    worker = worker_of(process)
    eventually(lambda: any("cropring" in os.readlink(place) for place in Path(f"/proc/{worker}/fd").iterdir()), "the worker's ring")
    assert {os.readlink(f"/proc/{pid}/fd/2") for pid in (process.pid, worker)} == {"/dev/null"}
    assert {Path(f"/proc/{pid}/comm").read_text() for pid in (process.pid, worker)} == {"cropring\n"}


def test_a_worker_that_is_killed_is_told(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    before = ring_names()
    process = start("-o", "c.png", "-w", 16)
    assert process.stdin
    line = (str(FILES[0]) + "\n").encode()
    process.stdin.write(line * 200)
    process.stdin.flush()
    worker = worker_of(process)
    eventually(lambda: ring_names() - before, "its ring")
    os.kill(worker, signal.SIGKILL)
    _, said = process.communicate(line * 400, WATCHDOG_S)
    assert process.returncode == 1 and re.fullmatch(rb"cropring: error: the worker (died|ended before it was ready).*killed by SIGKILL.*\n", said)
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("count", [10, 266])
def test_a_worker_that_dies_while_no_paths_come_is_told(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, count: int) -> None:
    """Even where all that was asked for has been answered, so that only a request fails."""
    process = start("-o", "c.npy", "-w", 16)
    assert process.stdin
    line = (str(FILES[0]) + "\n").encode()
    process.stdin.write(line * count)
    process.stdin.flush()
    worker = worker_of(process)
    before = -1.0

    def rests() -> bool:
        nonlocal before
        last, before = before, sum(map(int, Path(f"/proc/{worker}/stat").read_text().rsplit(")")[1].split()[11:13]))
        time.sleep(0.2)
        return before == last and any("cropring" in os.readlink(place) for place in Path(f"/proc/{worker}/fd").iterdir())  # its ring

    eventually(rests, "a worker with nothing to do")
    os.kill(worker, signal.SIGKILL)
    _, said = process.communicate(line * 100, WATCHDOG_S)
    assert process.returncode == 1 and re.fullmatch(rb"cropring: error: the worker (died|ended before it was ready).*killed by SIGKILL.*\n", said)
    assert left_over(tmp_path) == []


def test_the_worker_is_gone_when_the_command_is_killed(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    process = start("-o", "c.npy", "-w", 16)
    worker = worker_of(process)
    process.kill()
    process.wait(WATCHDOG_S)
    eventually(lambda: not is_running(worker), "the worker gone")


def test_a_terminal_sees_how_far_it_is(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    lines = io.BytesIO((str(FILES[0]) + "\n").encode() * 300 + b"nowhere.jpg\n")
    process = subprocess.Popen(
        [executable(), "crop", "-o", "c.npy", "-w", "16"], cwd=tmp_path, stdin=subprocess.PIPE, stderr=theirs, env=os.environ | {"TERM": "xterm"}
    )
    os.close(theirs)
    process.communicate(lines.read(), WATCHDOG_S)
    said = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    assert process.returncode == 3 and b"crop: 64, 0 bad" in said
    last = said.decode().replace("\r\n", "\n").splitlines()
    assert last[-1].endswith("cropring: c.npy: 301 crops of 16x16, 1 bad") and any("nowhere.jpg: there is no such file" in line for line in last)
