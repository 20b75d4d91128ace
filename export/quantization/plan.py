"""What a quantised trunk is made by: four choices, which a search finds or a person gives."""

from __future__ import annotations

from dataclasses import dataclass

from icd_mobile.errors import unknown_name

HISTOGRAM = "histogram"
ESTIMATORS = (HISTOGRAM, "minmax", "percentile", "entropy", "mse")


@dataclass(frozen=True)
class QuantizationPlan:
    """`float_ops` are node names of the `torch.export`ed trunk whose op stays in float, weights and all.

    Raises:
        InputError: an estimator of no such name.
    """

    estimator: str = HISTOGRAM
    equalised: bool = False
    bias_corrected: bool = False
    float_ops: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise unknown_name("range estimator", self.estimator, ESTIMATORS)

    @property
    def recipe(self) -> str:
        """One line a person can search for."""
        extras = ["equalised"] * self.equalised + ["biases corrected"] * self.bias_corrected
        if self.float_ops:
            extras.append(f"{len(self.float_ops)} op{'s' * (len(self.float_ops) > 1)} in float")
        return ", ".join(
            [
                "PT2E static W8A8: weights int8 per channel symmetric",
                f"activations int8 per tensor affine ({self.estimator})",
                *extras,
            ]
        )


# What int8 is made by where no search was asked for: on ImageNet's Lite0, biases corrected leave a quarter of the
# descriptors' error (docs/decisions/0009-int8-by-an-accuracy-budget.md).
UNSEARCHED = QuantizationPlan(bias_corrected=True)
