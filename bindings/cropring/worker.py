"""The worker process of a Loader: its command line, its start, and its end."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

from ._cli import executable
from ._ring import Lease, Ring
from .errors import BadSample, CropringError, SourceError, WorkerDied

_GRACE_S = 5.0  # from SIGTERM to SIGKILL; the worker needs no clean-up to leave nothing behind
_EXIT_BAD_DATA = 3  # of `cropring serve --on-error stop`
_SOURCE_ERRNOS = {errno.ENOENT, errno.ENOTDIR, errno.ENODATA, errno.EACCES, errno.ELOOP}


def arguments(flags: Mapping[str, object]) -> list[str]:
    """`{"size": (192, 256), "shuffle": False, "cpus": None}` -> `["--size=192x256", "--no-shuffle"]`."""
    words = []
    for name, value in flags.items():
        flag = "--" + name.replace("_", "-")
        if value is None or (value is False and name != "shuffle"):
            continue
        if isinstance(value, bool):
            words.append(flag if value else "--no-shuffle")
        elif isinstance(value, str | os.PathLike):
            words.append(f"{flag}={os.fspath(value)}")
        elif isinstance(value, Sequence):
            words.append(f"{flag}={('x' if name == 'size' else ',').join(str(part) for part in value)}")
        else:
            words.append(f"{flag}={value}")
    return words


class Feed:
    """What a Loader takes batches from: a worker of its own, or a lane of one that another process of this machine started."""

    ring: Ring

    def __init__(self) -> None:
        self._owner_pid = os.getpid()
        self.before_leaving: list[Callable[[], None]] = []  # called, the last first, before the ring's memory goes

    def acquire(self) -> Lease | None:
        """The next batch; None at the stream's end."""
        return self.ring.acquire()

    def request(self, request: bytes) -> None:
        """Asks for a batch."""
        self.ring.request(request)

    def explain(self, error: WorkerDied) -> CropringError:
        """The same error with all that is known of the worker's end."""
        return error

    def end(self) -> None:
        """No more batches.  The ring stays mapped: its counters are final now."""

    def stop(self) -> None:
        """That, and leaves the ring.  Arrays that are alive stay valid.

        Nothing happens the second time, or in a forked child.
        """
        if os.getpid() == self._owner_pid:
            self.end()
            try:
                while self.before_leaving:
                    self.before_leaving.pop()()
            finally:
                self.ring.close()


class Worker(Feed):
    """A running `cropring serve` whose reader is this process.

    Other readers, if any, are let in once the process that started it has joined.  The worker ends when
    this process does, however it does.  Relative paths begin at `folder`; None: where this process is.  It inherits `fds`.
    """

    def __init__(self, source: str, flags: Mapping[str, object], folder: str | None = None, fds: Sequence[int] = ()) -> None:
        super().__init__()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            # What a Loader does is what its keywords say: CROPRING_ variables are for the command.
            environment = {name: value for name, value in os.environ.items() if not name.startswith("CROPRING_")}
            command = [executable(), "serve", *arguments(flags), f"--reader-fd={theirs.fileno()}", "--", source]
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                cwd=folder,
                pass_fds=[theirs.fileno(), *fds],
                start_new_session=True,
            )
            theirs.close()  # or a worker that dies would never be noticed
            try:
                self.ring = _join(ours.detach())
            except CropringError as error:
                raise self._refusal(error) from None
            except BaseException:
                self.process.kill()
                self.process.wait()
                raise

    def _refusal(self, error: CropringError) -> Exception:
        """The exception for a worker that did not come up."""
        exit_status = self._wait_for_exit()
        if exit_status == _EXIT_BAD_DATA:
            return BadSample(str(error), error.errno)
        if error.errno == errno.EINVAL:
            return ValueError(str(error))
        if error.errno == errno.EBADMSG:
            return SourceError(str(error), errno.EINVAL)
        if error.errno in _SOURCE_ERRNOS:
            return SourceError(str(error), error.errno)
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            return WorkerDied(f"{error}: {in_words(exit_status)}", error.errno, "", exit_status)
        return error

    def request(self, request: bytes) -> None:
        """Asks for a batch.  Whoever takes the answer learns of a worker that is dead, and gives the request to the next one."""
        try:
            self.ring.request(request)
        except WorkerDied:
            pass
        except BaseException:
            self.process.kill()  # Ctrl-C: nobody knows whether it was sent
            raise

    def explain(self, error: WorkerDied) -> CropringError:
        """The same error with what only the parent knows: how the process ended."""
        exit_status = self._wait_for_exit()
        if exit_status == _EXIT_BAD_DATA:
            return BadSample(str(error))
        lines = f"\nIts last lines:\n{error.last_lines.rstrip()}" if error.last_lines.strip() else ""
        return WorkerDied(f"{error} ({in_words(exit_status)}){lines}", error.errno, error.last_lines, exit_status)

    def _wait_for_exit(self) -> int | None:
        """The exit status of a worker that is ending; None if it does not come to an end, stuck in the kernel."""
        for hurry in (self.process.kill, lambda: None):
            try:
                return self.process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                hurry()
        return None

    def end(self) -> None:
        """Ends the process.  The ring stays mapped: its counters are final now."""
        if self.process.poll() is None:
            self.process.terminate()
            self._wait_for_exit()


def _join(socket_fd: int) -> Ring:
    """Waits for the worker's ring, in a thread that gets no signals: those find the main thread awake, and Ctrl-C works."""
    outcome: list[Ring | BaseException] = []

    def attach() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            outcome.append(Ring.attach_fd(socket_fd))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=attach, name="cropring-join", daemon=True)
    thread.start()
    thread.join()
    result = outcome.pop()
    try:
        if isinstance(result, BaseException):
            raise result
        return result
    finally:
        del result  # or the error, its traceback and this frame would keep each other, and the frames that called this one


def in_words(exit_status: int | None) -> str:
    """How a process ended, as `subprocess` tells it."""
    if exit_status is None:
        return "it does not end"
    if exit_status < 0:
        return f"killed by {signal.Signals(-exit_status).name}"
    return f"exit status {exit_status}"
