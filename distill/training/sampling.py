"""Which photographs make which batch: a permutation for each epoch, shared out over processes, entered at any batch."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

from distill.augmentations.views import ViewKey
from icd_mobile.errors import InputError
from icd_mobile.generators import generator


class BatchSampler(Sampler[list[ViewKey]]):
    """The batches of a whole run, from `start_step` on; each of `num_ranks` processes gets its equal part of each.

    The batch of a step depends on the seed and the step alone: a run that goes on from a step, or on another number of
    processes, sees what it would have seen. What does not fill a batch at an epoch's end waits for the next
    permutation.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        num_epochs: int,
        seed: int,
        *,
        start_step: int = 0,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        """`batch_size` counts the images of all processes together.

        Raises:
            InputError: fewer images than a batch, or a batch that the processes cannot share equally.
        """
        super().__init__()
        if num_images < batch_size:
            raise InputError(f"a batch takes {batch_size:,} images, got {num_images:,}; lower batch_size or add images")
        if batch_size % num_ranks:
            raise InputError(f"a batch of {batch_size:,} images does not divide over {num_ranks} processes; change one")
        self._num_images, self._batch_size, self._seed = num_images, batch_size, seed
        self._start_step, self._rank, self._num_ranks = start_step, rank, num_ranks
        self.steps_per_epoch = num_images // batch_size
        self.num_steps = num_epochs * self.steps_per_epoch

    def __len__(self) -> int:
        """Batches that are left."""
        return max(0, self.num_steps - self._start_step)

    def __iter__(self) -> Iterator[list[ViewKey]]:
        share = self._batch_size // self._num_ranks
        order_epoch, order = -1, []
        for step in range(self._start_step, self.num_steps):
            epoch, batch = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                order_epoch = epoch
                order = generator("order", self._seed, epoch).permutation(self._num_images).tolist()
            start = batch * self._batch_size + self._rank * share
            yield [ViewKey(epoch, image_id) for image_id in order[start : start + share]]
