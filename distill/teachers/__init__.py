"""The large models that students imitate: SSCD, DINO, DINOv2, an ImageNet stand-in, files, students of ours.

Import-light: what opens a teacher is imported when one is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distill.teachers.teacher import Teacher


def open_teacher(name_or_path: str, *, input_size_px: int | None = None) -> Teacher:
    """A teacher by name (`python -m distill teachers`), `student:NAME`, or a file; at its own input size if not given.

    A file is an SSCD, DINO or DINOv2 checkpoint in any form, an ONNX graph, a whitened teacher or one of our students;
    nothing in it is run. A published teacher is downloaded once and its hash checked each time.

    Raises:
        InputError: unknown name, a damaged or foreign file, or a size the network cannot take.
        OutsideError: the weights are not here and cannot be fetched.
    """
    from distill.teachers.opening import open_teacher as open_

    return open_(name_or_path, input_size_px)
