"""One table of flags: `cropring flags` is the source, Python's keywords and the README follow it."""

import inspect
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import cropring
from cropring.worker import arguments

Command = Callable[..., subprocess.CompletedProcess[str]]
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def flags(command: Command) -> dict[str, dict[str, Any]]:
    return {flag["keyword"]: flag for flag in json.loads(command("flags", "--json").stdout)}


def keywords() -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(cropring.Loader).parameters)
    assert parameters.pop("source").kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert parameters.pop("num_workers").default is None  # another name for threads
    assert parameters.pop("respawn").default == 5  # what the Loader does, not its worker
    assert parameters.pop("sampler").default is None
    assert parameters.pop("per_node").default is False
    return parameters


def test_every_flag_is_a_keyword_in_the_same_order(flags: dict[str, dict[str, Any]]) -> None:
    assert list(keywords()) == list(flags)
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in keywords().values())


def test_defaults_are_the_same_but_for_epochs_and_the_world(flags: dict[str, dict[str, Any]]) -> None:
    for name, parameter in keywords().items():
        own = {"epochs": 0, "rank": None, "world_size": None}
        expected = own.get(name, flags[name]["default"])
        if flags[name]["kind"] == "level":
            expected = False
        if flags[name]["kind"] == "choice" and isinstance(parameter.default, int):
            expected = int(expected)
        if flags[name]["kind"] == "pair":
            expected = tuple(expected)
        assert parameter.default == expected, name
        assert type(parameter.default) is type(expected), name


def test_choices_are_the_same(flags: dict[str, dict[str, Any]]) -> None:
    hints = get_type_hints(cropring.Loader.__init__)
    for name, flag in flags.items():
        if flag["kind"] == "choice":
            assert [str(choice) for choice in get_args(hints[name])] == flag["choices"], name


def test_every_keyword_is_documented() -> None:
    for name in keywords():
        assert re.search(rf"\b{name}\b", cropring.Loader.__doc__ or ""), name


def test_the_readme_has_the_table(command: Command) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    between = re.search(r"<!-- flags:begin[^>]*-->\n(.*?)<!-- flags:end -->", readme, re.DOTALL)
    assert between, "README.md has no <!-- flags:begin --> ... <!-- flags:end -->"
    assert between[1].strip() == command("flags", "--markdown").stdout.strip()


def test_keywords_become_words_of_the_command_line() -> None:
    assert arguments({"batch_size": 8, "size": 224, "scale": (0.08, 1), "cpus": None, "verbose": False}) == [
        "--batch-size=8",
        "--size=224",
        "--scale=0.08,1",
    ]
    assert arguments({"shuffle": True, "size": (192, 256), "quiet": True}) == ["--shuffle", "--size=192x256", "--quiet"]
    assert arguments({"shuffle": False, "mean": [0.1, 1 / 3], "std": 0.5, "stats": Path("/tmp/s")}) == [
        "--no-shuffle",
        "--mean=0.1,0.3333333333333333",
        "--std=0.5",
        "--stats=/tmp/s",
    ]


def test_every_keyword_reaches_the_worker(load: Callable[..., cropring.Loader], photos: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "all.csv"
    manifest.write_text("path\n" + "".join(f"{path.relative_to(photos)}\n" for path in sorted(photos.glob("*/*"))))
    unusual = {
        "index": tmp_path / "kept.cropidx", "root": photos,
        "batch_size": 3, "epochs": 2, "start_epoch": 1, "seed": 2**64 - 1, "shuffle": False, "tail": "pad", "start_sample": 2, "limit": 30,
        "weights": None, "rank": 1, "world_size": 2, "size": (20, 30), "crop": "center", "short_side": 40, "scale": (0.08, 1),
        "ratio": (0.75, 1.3333), "hflip": 0.25,
        "max_img_percent": 0.5, "resample": "lanczos", "fidelity": "fast", "orientation": "exif", "channels": 1, "dtype": "float16",
        "layout": "nchw", "mean": 0.5, "std": 0.25, "targets": photos, "target_dtype": "uint16", "ring": "test-flags",
        "socket": tmp_path / "door", "slots": 5, "segment": "memfd", "share": "broadcast", "readers": 1,
        "linger_ms": 5, "stalled_reader": "expel", "stalled_after_ms": 700,
        "threads": 3, "cpus": "0", "nice": 1, "io": "pread", "io_depth": 7, "on_error": "zero", "max_pixels": 10**8,
        "max_file_bytes": 10**7, "item_timeout_ms": 9999, "sandbox": "off",
        "verbose": False, "quiet": True, "log": "json", "stats": tmp_path / "stats.json",
        "metrics": tmp_path / "cropring.prom", "trace": tmp_path / "trace.json",
    }  # fmt: skip
    assert set(unusual) == set(keywords())
    loader = load(manifest, **unusual)
    words = loader._worker.process.args
    for name, value in unusual.items():
        if name not in ("readers", "verbose", "scale", "ratio", "weights"):  # at their defaults: the last three are for other flags
            assert arguments({name: value})[0] in words, name
    assert {"--scale=0.5,0.75", "--ratio=0.9,1.1"} <= set(load(scale=(0.5, 0.75), ratio=(0.9, 1.1))._worker.process.args)
    batch = next(iter(loader))
    assert batch.images.shape == (3, 1, 20, 30) and batch.epoch == 1
    assert batch.targets.shape == (3, 20, 30) and batch.targets.dtype == "uint16"
    stats = loader.stats()
    assert (stats["slots"], stats["threads"], stats["memfd"], stats["uring"]) == (5, 3, 1, 0)
