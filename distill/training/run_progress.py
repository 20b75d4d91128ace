"""How fast a run goes and how long it still takes: a bar on a terminal, and a line an epoch that a log file keeps."""

from __future__ import annotations

import sys
import time

from distill.configs.config import RunConfig
from distill.training.metrics_log import Row
from icd_mobile.progress import image_progress


class RunProgress:
    """On standard error, from the step that a run begins or goes on at."""

    def __init__(self, config: RunConfig, first_step: int, steps_per_epoch: int) -> None:
        self._config, self._first_step, self._steps_per_epoch = config, first_step, steps_per_epoch
        self._num_steps = config.epochs * steps_per_epoch
        self._began_s = self._read_s = time.monotonic()
        self._read_step = first_step
        self._bar = image_progress(disable=not sys.stderr.isatty())
        self._task = self._bar.add_task(
            config.name, total=self._num_steps * config.batch_size, completed=first_step * config.batch_size
        )
        self._bar.start()

    def advance(self) -> None:
        """One step more."""
        self._bar.advance(self._task, self._config.batch_size)

    def images_per_s(self, step: int) -> float:
        """Since the clock was last read."""
        return (step - self._read_step) * self._config.batch_size / (time.monotonic() - self._read_s)

    def read_clock(self, step: int) -> None:
        """Validation, which comes before this, is not counted in the next rate."""
        self._read_s, self._read_step = time.monotonic(), step

    def say_epoch(self, step: int, row: Row) -> None:
        """The line of an epoch that ends with a step."""
        left_s = (time.monotonic() - self._began_s) / (step - self._first_step) * (self._num_steps - step)
        micro_ap = f", micro-AP {row['micro_ap']:.4f} (measured)" if "micro_ap" in row else ""
        self._bar.console.print(
            f"epoch {step // self._steps_per_epoch} of {self._config.epochs}: loss {row['loss']:.4f}{micro_ap}, "
            f"{row['images_per_s']:.1f} images/s, {left_s / 60:.1f} min left",
            highlight=False,
            soft_wrap=True,
        )

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()
