"""Data-loading workers that end with the process they work for."""

from __future__ import annotations

import os
import threading
import time

_EVERY_S = 1.0


def end_with_parent(_worker_id: int) -> None:
    """A `worker_init_fn`: watch the parent, and end when it is gone.

    PyTorch's own watch runs between two items. A worker whose parent was killed while a finished batch waited in the
    pipe between them has been seen to wait for ever, with its memory.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
