#!/usr/bin/env python3
"""What tests/wheel/run does with an installed cropring: `first-batch SOURCE`, `everything SOURCE SHA256`, `measure SOURCE`.

Whatever is not as it should be ends the program with an exception.
"""

from __future__ import annotations

import hashlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import cropring

SAME = {"batch_size": 16, "size": 224, "seed": 7}
IMPORT = "import sys, time, numpy; start = time.perf_counter(); import cropring; print(1000 * (time.perf_counter() - start))"
REPETITIONS = 7


def command(*words: str) -> str:
    """What `cropring WORDS` of this environment prints."""
    done = subprocess.run([Path(sys.prefix) / "bin/cropring", *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"cropring {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def ok(what: str) -> None:
    print(f"ok   {what}", flush=True)


def digest(batch: cropring.Batch) -> str:
    """Of the pixels, and of all that is known of the samples."""
    fields = (batch.images, batch.labels, batch.index, batch.box, batch.source_size, batch.flipped, batch.status)
    return hashlib.sha256(b"".join(np.ascontiguousarray(field).tobytes() for field in fields)).hexdigest()


def first_batch(source: str) -> tuple[str, str]:
    """Hash, and in which kind of memory the ring lies: "shm" or "memfd"."""
    with cropring.Loader(source, **SAME) as loader:
        return digest(next(iter(loader))), "memfd" if loader.stats()["memfd"] else "shm"


def check_the_command() -> None:
    version = command("--version")
    assert version == f"cropring {cropring.__version__}\n", version
    ok(f"cropring --version: {version.strip()}")


def check_the_pages() -> None:
    share = Path(sys.prefix) / "share"
    names = re.findall(r"(?m)^  ([a-z]+) ", command("--help").partition("Commands:\n")[2].partition("\n\n")[0])
    pages = {page.name for page in (share / "man/man1").glob("cropring*.1")}
    missing = {f"cropring-{name}.1" for name in names if name not in ("flags", "completion")} - pages
    assert len(names) > 5 and "cropring.1" in pages and not missing, (names, pages)
    for script in ("bash-completion/completions/cropring", "zsh/site-functions/_cropring", "fish/vendor_completions.d/cropring.fish"):
        assert (share / script).stat().st_size > 0, script
    shell = subprocess.run(["bash", "-euc", 'eval "$(cropring completion bash)"; complete -p cropring'], capture_output=True, text=True, check=True)
    assert "--ring" in command("completion", "words", "--", "serve", "--r")
    ok(f"{len(pages)} man pages; completion: {shell.stdout.strip()}")


def check_the_loader(source: str, expected: str) -> None:
    digest, memory = first_batch(source)
    assert (digest, memory) == (expected, "shm"), f"{digest} in {memory}, but the build tree's worker gave {expected}"
    ok(f"the first batch is that of the build tree's worker: SHA-256 {digest[:16]}...")
    with cropring.Loader(source, **SAME) as loader:
        count = sum(len(images) for _ in range(3) for images, _ in loader)
        report = str(loader.report())
    assert count > 0 and "waits for" in report, report
    ok(f"three epochs, {count} images; report(): " + report.replace("\n", "\n     "))


def check_serve_and_attach(source: str) -> None:
    words = ["serve", source, "--ring", "wheel", "--batch-size", "8", "--size", "96", "--threads", "2"]
    with subprocess.Popen([Path(sys.prefix) / "bin/cropring", *words], stderr=subprocess.PIPE, text=True) as server:
        with cropring.attach("wheel", wait=20) as reader:
            count = sum(len(batch) for batch in reader)
        complaint = server.communicate(timeout=60)[1]
    assert server.returncode == 0 and count > 0, complaint
    ok(f"serve and attach: {count} images; serve's last line: {complaint.strip().splitlines()[-1]}")


def check_crop_pack_info(source: str) -> None:
    photos = sorted(str(path) for path in Path(source).rglob("*.*"))
    with tempfile.TemporaryDirectory() as folder:
        command("crop", *photos, "--scale", "0.5", "-w", "64", "-o", f"{folder}/crops.npy")
        crops = np.load(f"{folder}/crops.npy")
        assert crops.shape == (len(photos), 64, 64, 3) and crops.any(axis=(1, 2, 3)).all(), crops.shape
        ok(f"crop: {crops.shape} {crops.dtype}")
        command("pack", source, f"{folder}/photos.pack")
        info = json.loads(command("info", "--json", f"{folder}/photos.pack"))
        with cropring.Pack(f"{folder}/photos.pack") as pack:
            assert len(pack) == info["images"] == len(photos)
        assert first_batch(f"{folder}/photos.pack")[0] == first_batch(source)[0]
        ok(f"pack and info: {info['images']} images in {info['bytes']} bytes, same first batch")


def pss_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"(?m)^Pss: +(\d+) kB", text)[1])  # type: ignore[index]


def measure(source: str) -> None:
    """The medians, as a table."""
    first_ms, import_ms, pss = [], [], []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        with cropring.Loader(source, ring="wheel", **SAME) as loader:
            next(iter(loader))
            first_ms.append(1000 * (time.perf_counter() - start))
            (ring,) = json.loads(command("list", "--json"))
            pss.append(pss_kib(ring["pid"]))
        import_ms.append(float(subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout))
    print(f"{'time to the first batch':26} {statistics.median(first_ms):.0f} ms ({SAME['batch_size']} images of {SAME['size']} pixels)")
    print(f"{'import, after NumPy':26} {statistics.median(import_ms):.0f} ms")
    print(f"{'memory of the worker (PSS)':26} {statistics.median(pss) / 1024:.1f} MiB, with its share of the ring")


def main() -> None:
    what, source, *rest = sys.argv[1:]
    if what == "first-batch":
        print(*first_batch(source))
    elif what == "measure":
        measure(source)
    else:
        check_the_command()
        check_the_pages()
        check_the_loader(source, rest[0])
        check_serve_and_attach(source)
        check_crop_pack_info(source)


if __name__ == "__main__":
    main()
