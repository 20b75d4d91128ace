"""Similarity distillation: the student ranks a bank of teacher descriptors as the teacher does.

Sources: SEED (Fang et al., 2021); CompRess (Koohpayegani et al., 2020); kd_icd (thesis, 2023); RDCD (Kim, Woo and Nang,
"Relational Self-supervised Distillation with Compact Descriptors for Image Copy Detection", WACV 2025), whose numbers
are the defaults.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 (the name every PyTorch reader knows)
from torch import Tensor, nn

from distill.losses.bank import Bank
from distill.losses.batch import Batch, Dims, check_above
from distill.losses.gather import gather_rows, global_mean
from distill.losses.precision import in_float32
from icd_mobile.errors import InputError, unknown_name

FORMS = ("kl", "cross_entropy")


class SimilarityDistillation(nn.Module):
    """KL(p_i || q_i) or -sum p_i log q_i, mean over rows: p_i = softmax(t_i . M / T_t), q_i = softmax(s_i . M / T_s).

    M is this step's teacher descriptors of all processes, a row's own among them, then the bank of past steps.
    s is the wide feature of a student with a compact projection, else its descriptor. kd_icd divides by 10: weight 0.1.
    The two forms have the same gradient; KL is 0 where student and teacher agree.
    """

    needs_teacher: ClassVar[bool] = True

    def __init__(
        self,
        *,
        form: str = "kl",
        student_temperature: float = 0.04,
        teacher_temperature: float = 0.04,
        bank_size: int = 65_536,
    ) -> None:
        """Numbers as RDCD.

        Raises:
            InputError: unknown form, a temperature not above 0, or no bank.
        """
        super().__init__()
        if form not in FORMS:
            raise unknown_name("form of similarity_distillation", form, FORMS)
        check_above("similarity_distillation: student_temperature", student_temperature, 0.0)
        check_above("similarity_distillation: teacher_temperature", teacher_temperature, 0.0)
        self.form = form
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature
        self.bank = Bank(bank_size)

    def check(self, dims: Dims) -> None:
        """The student's descriptor, or its wide feature, is compared with the teacher's.

        Raises:
            InputError: they differ in dimensions.
        """
        if dims.kd() != dims.teacher:
            raise InputError(
                f"similarity_distillation compares the student with the teacher in one space, got {dims.kd()} and "
                f"{dims.teacher} dimensions; give the student a wide feature of the teacher's dimensions"
            )

    @in_float32
    def forward(self, batch: Batch) -> Tensor:
        teacher = batch.teacher_descriptors()
        current = gather_rows(teacher)
        seen = current
        if self.bank.rows.numel():
            seen = torch.cat([current, self.bank.filled()])  # a copy: the bank changes before the backward pass
        log_student = F.log_softmax(batch.kd_feature() @ seen.T / self.student_temperature, dim=1)
        log_teacher = F.log_softmax(teacher @ seen.T / self.teacher_temperature, dim=1)
        of_teacher = log_teacher.exp()
        surprise = log_teacher - log_student if self.form == "kl" else -log_student
        loss = global_mean((of_teacher * surprise).sum(dim=1))
        if self.training:
            self.bank.push(current)
        return loss
