"""What a run is made of, built from its configuration and checked before anything is trained."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from distill.augmentations import open_augmentation
from distill.augmentations.views import Views
from distill.configs.config import RunConfig, TeacherConfig
from distill.losses import build_loss
from distill.losses.batch import Dims
from distill.losses.weighted import WeightedLosses
from distill.students.checkpoint import open_student
from distill.students.student import Student, student_spec
from distill.students.weights import load_trunk_weights, source_name
from distill.teacher_cache.key import CacheKey, check_fits, read_names
from distill.teacher_cache.photographs import PhotographDescriptors
from distill.teacher_cache.views import CachedViews
from distill.teachers.catalogue import named_teachers, split_size
from distill.training.first_head import fit_first_head
from distill.training.online_teacher import OnlineTeacher, open_online_teacher
from distill.training.trained_student import TrainedStudent
from distill.training.training_state import State
from icd_mobile.errors import InputError
from icd_mobile.pictures.collection import open_photos


@dataclass(frozen=True)
class Images:
    """What the loader draws from, and what it is known by."""

    dataset: Views | CachedViews
    names: list[str]  # by image id
    source_name: str
    sha256: str
    num_skipped: int


@dataclass(frozen=True)
class Cache:
    """A teacher cache and where it stands."""

    folder: Path
    views: CachedViews | PhotographDescriptors


@dataclass(frozen=True)
class Parts:
    """Student, losses, teacher and images of a run."""

    model: TrainedStudent
    trunk: str  # where its weights came from, for the card
    losses: WeightedLosses
    teacher: OnlineTeacher | None  # None too where the descriptors come from a cache
    teacher_name: str | None  # as it was opened: which form and file, not what the recipe calls it
    teacher_dim: int | None
    images: Images

    def facts(self, config: RunConfig) -> State:
        """What must be the same for a run to go on."""
        return {"config": config.model_dump(mode="json"), "images_sha256": self.images.sha256}


def build_parts(config: RunConfig, skipped_path: Path | None = None, *, is_new: bool = True) -> Parts:
    """Build everything, the images last: the rest fails in seconds. A run that goes on brings its own weights.

    Raises:
        InputError: a name, a setting or dimensions that do not fit, or images that cannot be used.
        OutsideError: weights that cannot be reached.
    """
    needs_no_images = config.teacher is not None and config.teacher.cache and config.teacher.target == "view"
    if config.data.images is None and not needs_no_images:
        raise InputError("a run needs images; give --images DIR or --images photos.tar")
    if config.teacher is not None and config.teacher.target == "photograph" and config.teacher.cache is None:
        raise InputError(
            "teacher.target=photograph needs a cache of the photographs, which a run makes and a plan does not: "
            "python -m distill cache-teacher --augmentation none --views 1 --size 64, then teacher.cache=FOLDER"
        )
    torch.manual_seed(config.seed)  # the head's start, and a random trunk
    model, trunk = build_model(config)
    teacher, teacher_name, teacher_dim, cached = None, None, None, None
    if config.teacher is not None and config.teacher.cache is not None:
        cached = open_cache(config, config.teacher, Path(config.teacher.cache))
        teacher_name, teacher_dim = cached.views.key.teacher, cached.views.key.descriptor_dim
    elif config.teacher is not None:
        teacher = open_online_teacher(config.teacher)
        teacher_name, teacher_dim = teacher.name, teacher.descriptor_dim
    losses = build_losses(config, model, teacher_dim)
    # A teacher sees a view as it was drawn for it, and the student sees that reduced, as in a cache.
    drawn_px = max(config.views_size_px, 0 if teacher is None else teacher.input_size_px)
    images = open_images(config, cached, drawn_px, skipped_path)
    if is_new and cached is not None and _needs_head(config):
        fit_first_head(model.student, images.dataset, len(images.names))
    return Parts(model, trunk, losses, teacher, teacher_name, teacher_dim, images)


def _needs_head(config: RunConfig) -> bool:
    """Whether the student begins with another's trunk and a head of another D."""
    wanted = config.student
    return (
        wanted.start_from is not None and open_student(wanted.start_from).card.descriptor_dim != wanted.descriptor_dim
    )


def open_cache(config: RunConfig, teacher: TeacherConfig, folder: Path) -> Cache:
    """The cache of a recipe's teacher, made as the recipe says.

    Raises:
        InputError: none there, an unfinished one, or one of another teacher, augmentation or size.
    """
    wanted: dict[str, object] = {}
    views: CachedViews | PhotographDescriptors
    if teacher.target == "photograph":
        if config.data.mixing is not None:
            raise InputError(
                "a mixed view is of two photographs, and teacher.target=photograph of one; leave out data.mixing"
            )
        views = PhotographDescriptors(folder)
    elif config.data.mixing is not None or config.data.original_view:
        raise InputError(
            "a teacher cache has its views as the teacher saw them; leave out data.mixing and data.original_view"
        )
    else:
        views = CachedViews(folder, config.data.num_views, config.seed)
        wanted = {"augmentation": config.data.augmentation, "size_px": config.views_size_px}
    name, size_px = split_size(teacher.name)
    if views.key.teacher.partition(".")[0] != Path(name).name:  # a teacher's name without its form will do
        wanted["teacher"] = Path(name).name
    if size_px or teacher.input_size_px:
        wanted["teacher_size_px"] = size_px or teacher.input_size_px
    published = named_teachers().get(views.key.teacher)
    if published is not None and published.sha256 is not None:
        wanted["teacher_weights_sha256"] = published.sha256
    check_fits(folder, views.key, **wanted)
    return Cache(folder, views)


def open_images(config: RunConfig, cache: Cache | None, drawn_px: int, skipped_path: Path | None) -> Images:
    """The photographs, whose views are drawn at `drawn_px`, or a cache; with one, they are only asked for their names.

    Raises:
        InputError: they do not fit together, or photographs that cannot be used.
    """
    if config.data.images is None and cache is not None and isinstance(cache.views, CachedViews):
        names = read_names(cache.folder, cache.views.key)
        return Images(cache.views, names, "a teacher cache", _cache_sha256(cache.views.key), 0)
    source = Path(config.data.images or "")
    opened = open_photos(source, skipped_path)
    photos = opened.photos
    names = [photo.name for photo in photos.files]
    describe = None
    sha256 = photos.sha256
    if cache is not None:
        check_fits(cache.folder, cache.views.key, photos_sha256=photos.sha256)
        sha256 = _cache_sha256(cache.views.key)
        if isinstance(cache.views, CachedViews):
            return Images(cache.views, names, source.name, sha256, len(opened.skipped))
        describe = cache.views
    pipeline = open_augmentation(config.data.augmentation)
    views = Views(
        photos,
        pipeline,
        config.data.num_views,
        drawn_px,
        config.seed,
        original_view=config.data.original_view,
        describe=describe,
    )
    return Images(views, names, source.name, sha256, len(opened.skipped))


def _cache_sha256(key: CacheKey) -> str:
    return hashlib.sha256(key.model_dump_json().encode()).hexdigest()


def build_model(config: RunConfig) -> tuple[TrainedStudent, str]:
    """The student with its first weights, and where its trunk's came from, without a path of this machine."""
    wanted = config.student
    if config.views_size_px != wanted.input_size_px and student_spec(wanted.name).pooling != "gem":
        raise InputError(
            f"{wanted.name} has positions of one size only; leave out data.size_px, or set it to the student's"
        )
    if config.views_size_px < 64 or config.views_size_px % 32:
        raise InputError(f"data.size_px must be a multiple of 32 px, 64 or more, got {config.views_size_px}")
    if wanted.start_from is not None:
        if wanted.wide_dim is not None:
            raise InputError("student.start_from brings a head, student.wide_dim makes a new one; leave out one")
        start = open_student(wanted.start_from)
        has_head = start.card.descriptor_dim == wanted.descriptor_dim
        teacher = config.teacher
        gets_head = teacher is not None and (teacher.cache is not None or teacher.target == "photograph")
        if start.card.student != wanted.name or not (has_head or gets_head):
            raise InputError(
                f"student.start_from is a {start.card.student} of {start.card.descriptor_dim} dimensions, the recipe "
                f"wants {wanted.name} of {wanted.descriptor_dim}; set student.name and student.descriptor_dim to it, "
                "or give a teacher.cache, to which a new head is fitted"
            )
        student = Student(wanted.name, wanted.descriptor_dim, wanted.input_size_px)
        student.trunk.load_state_dict(start.model.trunk.state_dict())
        if has_head:
            student.head.load_state_dict(start.model.head.state_dict())
        trunk = f"{start.card.trunk.removesuffix(', trained on')}, trained on"
    else:
        student = Student(wanted.name, wanted.descriptor_dim, wanted.input_size_px)
        load_trunk_weights(student, wanted.trunk)
        trunk = source_name(wanted.trunk)
    model = TrainedStudent(
        student,
        wanted.wide_dim,
        config.batchnorm,
        wanted.frozen_layers,
        quantization_aware=wanted.quantization_aware,
    )
    return model.to(memory_format=torch.channels_last), trunk  # as the images come


def build_losses(config: RunConfig, model: TrainedStudent, teacher_dim: int | None) -> WeightedLosses:
    """The losses of the recipe, checked against the student and the teacher."""
    losses = WeightedLosses([(loss.name, loss.weight, build_loss(loss.name, loss.settings)) for loss in config.losses])
    student = model.student
    losses.check(Dims(student.descriptor_dim, student.head.in_features, config.student.wide_dim, teacher_dim))
    if "momentum_contrast" in losses.weights and config.ema_decay is None:
        raise InputError("momentum_contrast needs a mean of the weights; set ema_decay, for example to 0.99")
    if config.data.mixing is not None and "directclr" in losses.weights:
        raise InputError("directclr compares views one by one, which data.mixing mixes; leave out one of them")
    if teacher_dim is not None and not losses.needs_teacher:
        raise InputError("the recipe names a teacher that none of its losses uses; take it out, or add such a loss")
    return losses
