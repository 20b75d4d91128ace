"""The fitted head against scikit-learn's PCA and against formulas worked with numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from distill.students.fit_head import (
    SHRINKAGE,
    Matrix,
    Moments,
    add_features,
    empty_moments,
    fit_head,
    fold_into_head,
    pooled_features,
    projection,
)
from distill.students.student import Student
from icd_mobile.datasets.sample_pictures import procedural_picture
from icd_mobile.errors import InputError
from icd_mobile.pictures.preprocessing import UnreadableImageError, to_pixels


@pytest.fixture(scope="module")
def features() -> Matrix:
    """(300, 40), correlated, with a mean that is large beside the spread."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 40)) @ rng.normal(size=(40, 40)) + 1000.0


def _moments(features: Matrix, batch: int = 32) -> Moments:
    moments = empty_moments(features.shape[1])
    for start in range(0, len(features), batch):
        moments = add_features(moments, features[start : start + batch])
    return moments


def _unit(rows: Matrix) -> Matrix:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("batch", [1, 7, 300])
def test_streamed_moments_equal_those_of_the_whole(features: Matrix, batch: int) -> None:
    moments = _moments(features, batch)
    assert moments.count == 300
    assert np.allclose(moments.mean, features.mean(axis=0), rtol=1e-12)
    assert np.allclose(moments.scatter / 300, np.cov(features.T, bias=True), rtol=1e-9, atol=1e-9)


def test_pca_equals_scikit_learn_up_to_sign_and_scale(features: Matrix) -> None:
    weight, bias = projection(_moments(features), 8, "pca")
    ours = features @ weight.T + bias
    theirs = PCA(n_components=8, svd_solver="full").fit_transform(features)
    similarity = np.abs((_unit(ours.T) * _unit(theirs.T)).sum(axis=1))
    assert np.allclose(similarity, 1.0, atol=1e-9)
    assert np.allclose(_unit(ours) @ _unit(ours).T, _unit(theirs) @ _unit(theirs).T, atol=1e-7)


def test_pca_whitening_divides_by_the_root_of_the_shrunk_variance(features: Matrix) -> None:
    weight, bias = projection(_moments(features), 8, "pca-whitening")
    covariance = np.cov(features.T, bias=True)
    variances, vectors = np.linalg.eigh(covariance)
    top = slice(-1, -9, -1)
    whitened = (features - features.mean(axis=0)) @ vectors[:, top]
    whitened /= np.sqrt(variances[top] + SHRINKAGE * np.trace(covariance) / 40)
    ours = features @ weight.T + bias
    assert np.allclose(_unit(ours) @ _unit(ours).T, _unit(whitened) @ _unit(whitened).T, atol=1e-7)


@pytest.mark.parametrize("method", ["pca", "pca-whitening"])
def test_the_output_has_zero_mean_and_unit_mean_squared_norm(features: Matrix, method: str) -> None:
    weight, bias = projection(_moments(features), 8, method)  # type: ignore[arg-type]
    output = features @ weight.T + bias
    assert np.allclose(output.mean(axis=0), 0.0, atol=1e-9)
    assert (output**2).sum(axis=1).mean() == pytest.approx(1.0)
    assert (weight[np.arange(8), np.abs(weight).argmax(axis=1)] > 0).all()


def test_a_worked_example_in_two_dimensions() -> None:
    # Points (0, 0), (2, 0), (0, 4), (2, 4): mean (1, 2), variances 1 along x and 4 along y. The first axis is y, and
    # unit mean squared norm divides by its deviation, 2: y -> (y - 2) / 2.
    corners = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]])
    weight, bias = projection(_moments(corners), 1, "pca")
    assert weight[0].tolist() == pytest.approx([0.0, 0.5])
    assert bias.tolist() == pytest.approx([-1.0])


def test_too_few_images_are_refused(features: Matrix) -> None:
    with pytest.raises(InputError, match="got 8 readable ones; give more images or a smaller --dim"):
        projection(_moments(features[:8]), 8, "pca")


def test_images_that_are_all_alike_are_refused() -> None:
    with pytest.raises(InputError, match="got 20 with the same feature"):
        projection(_moments(np.ones((20, 4))), 2, "pca-whitening")


def test_whitening_stays_finite_on_repeated_images(features: Matrix) -> None:
    weight, bias = projection(_moments(np.repeat(features[:5], 4, axis=0)), 8, "pca-whitening")
    assert np.isfinite(weight).all()
    assert np.isfinite(bias).all()


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(0)
    return Student("resnet18", 64, 64)


def test_the_folded_student_equals_pca_by_hand(student: Student) -> None:
    images = [(f"{seed}.png", procedural_picture(seed, (48, 40))) for seed in range(80)]
    broken = [("broken.png", UnreadableImageError("cut short"))]
    num_used, skipped = fit_head(student, [*images[:40], *broken, *images[40:]], "pca")
    assert num_used == 80
    assert [(image.name, image.reason) for image in skipped] == [("broken.png", "cut short")]

    pixels = np.stack([to_pixels(image, 64) for _, image in images])
    by_hand = PCA(n_components=64, svd_solver="full").fit_transform(pooled_features(student, pixels))
    normalized = (torch.from_numpy(pixels) / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    with torch.inference_mode():
        descriptors = student(normalized.permute(0, 3, 1, 2)).double().numpy()
    assert np.allclose(descriptors @ descriptors.T, _unit(by_hand) @ _unit(by_hand).T, atol=2e-3)


def test_the_same_images_give_the_same_head(student: Student) -> None:
    images = [(f"{seed}.png", procedural_picture(seed, (48, 40))) for seed in range(70)]
    fit_head(student, images, "pca-whitening")
    first = student.head.weight.clone()
    fit_head(student, images, "pca-whitening")
    assert torch.equal(first, student.head.weight)


def test_features_that_are_not_finite_are_refused() -> None:
    student = Student("resnet18", 64, 64)
    with torch.no_grad():
        next(student.trunk.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        fit_head(student, [("a.png", procedural_picture(0, (48, 40)))], "pca")


def test_folding_sets_weight_and_bias(student: Student) -> None:
    weight, bias = np.full((64, 512), 0.5), np.arange(64.0)
    fold_into_head(student, weight, bias)
    assert student.head.weight.unique().tolist() == [0.5]
    assert student.head.bias.tolist() == bias.tolist()
