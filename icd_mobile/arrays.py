"""The arrays that travel between rooms, by their element type; shapes stand in docstrings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Descriptors = NDArray[np.float32]  # (N, D), rows of unit length
