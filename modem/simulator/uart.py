"""Write bytes at the speed of a UART."""

from __future__ import annotations

import errno
import os
import queue
import threading
import time


class Pacer:
    """Writes byte by byte at the speed of a UART (8N1), in a thread: the loop's timer is too coarse."""

    def __init__(self, file: int, baud: int) -> None:
        self._file, self._seconds = file, 10 / baud
        self._queue: queue.SimpleQueue[bytes | int | None] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="uart", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Append bytes to those still to be written."""
        self._queue.put(data)

    def set_speed(self, baud: int) -> None:
        """Change the speed after the bytes still to be written."""
        self._queue.put(baud)

    def stop(self) -> None:
        """Stop at once; drop the bytes still to be written."""
        self._stopped = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        due = 0.0
        while (data := self._queue.get()) is not None:
            if isinstance(data, int):
                self._seconds = 10 / data
                continue
            due = max(due, time.monotonic())
            for place in range(len(data)):
                if self._stopped:
                    return
                due += self._seconds
                pause = due - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                self._put(data[place : place + 1])

    def _put(self, byte: bytes) -> None:
        try:
            os.write(self._file, byte)
        except BlockingIOError:
            return  # a UART has no buffer: the byte is lost
        except OSError as error:
            if error.errno != errno.EIO:
                raise
