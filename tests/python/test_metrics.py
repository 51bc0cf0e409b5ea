"""--metrics: a file of OpenMetrics text that is whole at any moment, whatever happens to the process that writes it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import cropring
from conftest import WATCHDOG_S, Server, children, eventually, is_running

openmetrics = pytest.importorskip("prometheus_client.openmetrics.parser", reason="prometheus_client is what says whether the text is valid")
prometheus = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is what says whether the text is valid")

Serve = Callable[..., Server]


def samples(text: str) -> dict[str, float]:
    """`cropring_slots{state="free"}` and so on, without the ring's label, by OpenMetrics' rules."""
    found = {}
    for family in openmetrics.text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels.pop("ring")
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def test_the_file_says_what_stats_say(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "cropring.prom"
    server = serve("--epochs=3", f"--metrics={path}")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        eventually(path.exists, "the first second's file")
        eventually(lambda: 'cropring_reader_lag_batches{reader="0"}' in samples(path.read_text()), "the reader in it")
        for _ in reader:
            pass
        stats = reader.stats()
    assert server.wait() == 0
    last = samples(path.read_text())
    assert last["cropring_images_total"] == stats["images"] and last["cropring_batches_total"] == stats["batches"]
    assert last["cropring_bytes_read_total"] == stats["bytes_read"]
    for stage in ("fetch", "decode", "shape", "plan"):
        assert last[f'cropring_stage_seconds_total{{stage="{stage}"}}'] == pytest.approx(stats[f"{stage}_ns"] / 1e9, abs=0.005)
    assert last['cropring_decode_busy_seconds_total'] == pytest.approx(stats["decode_busy_ns"] / 1e9)
    assert last['cropring_decode_idle_seconds_total{lacks="slots"}'] >= stats["decode_idle_ns"] / 1e9 > 0.01  # until the metrics' first second
    assert sum(value for name, value in last.items() if name.startswith("cropring_slots{")) == 3
    assert sum(value for name, value in last.items() if name.startswith("cropring_verdict{")) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_the_older_text_format_reads_it_too(serve: Serve, tmp_path: Path) -> None:
    """As node_exporter's textfile collector does."""
    path = tmp_path / "cropring.prom"
    server = serve("--epochs=1", f"--metrics={path}")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        for _ in reader:
            pass
    assert server.wait() == 0
    values = {sample.name: sample.value for family in prometheus.text_string_to_metric_families(path.read_text()) for sample in family.samples}
    assert values["cropring_images_total"] == 32 and values["cropring_threads"] == 2


def test_no_one_ever_reads_half_a_file(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "cropring.prom"
    server = serve("--epochs=0", f"--metrics={path}")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        stream = iter(reader)
        seen: set[int] = set()
        deadline = time.monotonic() + WATCHDOG_S
        while len(seen) < 3 and time.monotonic() < deadline:  # as many files
            next(stream)
            if path.exists():
                with path.open() as file:
                    seen.add(os.fstat(file.fileno()).st_ino)
                    assert file.read().endswith("# EOF\n")
        assert len(seen) == 3


def test_a_writer_that_is_killed_costs_a_warning_and_no_batch(serve: Serve, tmp_path: Path) -> None:
    server = serve("--epochs=0", f"--metrics={tmp_path / 'cropring.prom'}")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        stream = iter(reader)
        next(stream)
        (writer,) = children(server.process.pid)
        os.kill(writer, signal.SIGKILL)
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            next(stream)
        server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 128 + signal.SIGTERM
    warnings = [line for line in server.process.stderr.read().splitlines() if "--metrics" in line]
    assert len(warnings) == 1 and "the process that writes it is gone" in warnings[0]


def test_a_full_disk_costs_a_warning_and_no_batch(serve: Serve) -> None:
    server = serve("--epochs=0", "--metrics=/dev/full")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        stream = iter(reader)
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            next(stream)
        server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 128 + signal.SIGTERM
    warnings = [line for line in server.process.stderr.read().splitlines() if "--metrics" in line]
    assert len(warnings) == 1 and "No space left on device" in warnings[0]


def test_the_writer_ends_with_the_worker(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "cropring.prom"
    server = serve("--epochs=0", f"--metrics={path}")
    with cropring.attach(server.name, wait=WATCHDOG_S):
        eventually(path.exists, "the first second's file")
        (writer,) = children(server.process.pid)
        server.process.kill()
        server.wait()
        eventually(lambda: not is_running(writer), "the writer gone")
    assert samples(path.read_text())


def test_a_loader_takes_the_keyword(load: Callable[..., cropring.Loader], tmp_path: Path) -> None:
    path = tmp_path / "cropring.prom"
    loader = load(metrics=path)
    images = sum(len(batch) for batch in loader)
    loader.close()
    assert samples(path.read_text())["cropring_images_total"] >= images
    with pytest.raises(ValueError, match="--metrics .*cannot write in the folder"):
        load(metrics=tmp_path / "nowhere" / "cropring.prom")


def test_usr1_asks_how_it_goes(serve: Serve) -> None:
    server = serve("--epochs=0")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        next(iter(reader))
        server.process.send_signal(signal.SIGUSR1)
        assert server.process.stderr is not None
        lines = iter(server.process.stderr.readline, "")
        assert any("images/s" in line for line in lines)
        assert any(word in next(lines) for word in ("too short", "waits for", "keep pace"))
        assert server.process.poll() is None


def test_usr1_never_ends_a_worker_not_even_one_that_has_nothing_to_do_but_to_write_its_stats(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "stats.json"
    os.mkfifo(path)
    server = serve("--epochs=1", f"--stats={path}")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        for _ in reader:
            pass
    assert server.process.stderr is not None
    assert any("images/s" in line for line in iter(server.process.stderr.readline, ""))
    server.process.send_signal(signal.SIGUSR1)
    assert '"images": 32' in path.read_text()
    assert server.wait() == 0
