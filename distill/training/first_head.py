"""A head to begin with: the ridge regression of the teacher's descriptors on the trunk's pooled features.

A student that starts from another's trunk at another D would otherwise begin with a random head, whose gradients spoil
the trunk before they teach the head.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from distill.augmentations.views import ImageViews, ViewKey
from distill.students.normalization import normalized
from distill.students.student import Student
from icd_mobile.errors import InputError
from icd_mobile.progress import track_images

NUM_PHOTOGRAPHS = 2048  # at most; their views are drawn as for the first epoch
RIDGE = 1e-3  # of the features' mean square


def fit_first_head(student: Student, dataset: Dataset[ImageViews], num_photographs: int) -> None:
    """Fit the head on views of photographs spread evenly over the dataset, each with its teacher's descriptor.

    Raises:
        InputError: the descriptors are all alike.
    """
    width, dim = student.head.in_features, student.descriptor_dim
    inputs, outputs = torch.zeros(width + 1, width + 1).double(), torch.zeros(width + 1, dim).double()
    squares = torch.zeros(dim).double()
    count = 0
    chosen = np.unique(np.linspace(0, num_photographs - 1, NUM_PHOTOGRAPHS).round().astype(int)).tolist()
    training = student.training
    student.eval()
    for image_id in track_images(iter(chosen), len(chosen), "fitting the first head"):
        item = dataset[ViewKey(0, image_id)]
        features = _features(student, torch.from_numpy(item.views))
        wanted = torch.from_numpy(np.asarray(item.teacher_descriptors)).double()
        inputs += features.T @ features
        outputs += features.T @ wanted
        squares += wanted.square().sum(dim=0)
        count += len(wanted)
    student.train(training)
    mean = outputs[-1] / count
    if float((squares / count - mean.square()).sum()) < 1e-6:
        raise InputError("the teacher describes every photograph alike; look at its file, and at the photographs")
    penalty = RIDGE * inputs.diagonal()[:-1].mean() * torch.eye(width + 1).double()
    penalty[-1, -1] = 0.0  # the bias is free
    solved = torch.linalg.solve(inputs + penalty, outputs)
    # Adaptive optimisers move each weight by the learning rate, whatever its size: the head gets the size of a new one.
    # The scale is free, because the descriptor is normalised after it.
    solved *= (3 * width) ** -0.5 / solved[:-1].square().mean().sqrt()
    student.head.load_state_dict({"weight": solved[:-1].T.float().contiguous(), "bias": solved[-1].float()})


@torch.no_grad()
def _features(student: Student, views: Tensor) -> Tensor:
    """(V, S, S, 3) uint8 -> (V, F + 1), the last a one."""
    pooled = student.pooled(normalized(views.permute(0, 3, 1, 2), student.name)).double()
    return torch.cat([pooled, torch.ones(len(pooled), 1).double()], dim=1)
