"""The `teacher:` section of a study: one form for each kind of teacher, told apart by their keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic.json_schema import SkipJsonSchema

from autokd.study.explanation import read
from autokd.study.section import Section, as_tuple
from autokd.study.task import is_dumped_object

Gives = Literal["logits", "probabilities"]


class TeacherSection(Section):
    """What every form may say."""

    keeps_defaults: ClassVar[bool] = False

    weight: float = Field(1.0, gt=0)
    """Share in the weighted mean of an ensemble, > 0, relative to the other members; only in a list."""
    saw_training_rows: bool = False
    """true or false: whether the teacher was trained elsewhere on the rows from which validation is drawn, too. Its
    score on validation says little then, and is labelled so."""


class TrainedSection(TeacherSection):
    """A network of a search space that AutoKD trains on all training labels and keeps in the run folder."""

    space: str
    """Reference of the search space that builds it."""
    arch: dict[str, Any]
    """What the space's `build` takes."""
    epochs: int = Field(gt=0)
    """Passes over the training rows."""
    lr: float = Field(5e-3, gt=0)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(1e-4, ge=0)
    """Weight decay of AdamW, 0 or more."""
    batch_size: int = Field(64, ge=2)
    """Rows in each training step, 2 or more."""


class SpaceSection(TeacherSection):
    """A network of a search space with weights from a file."""

    space: str
    """Reference of the search space that builds it."""
    arch: dict[str, Any]
    """What the space's `build` takes."""
    weights: str
    """A file .safetensors, .pt, .pth or .npz, found from the current folder."""


class NetworkSection(TeacherSection):
    """A torch network by reference. It gets inputs as the task normalises them, so let the task normalise as the
    network was trained."""

    network: str
    """module:attr or path/to/file.py:attr: a function or class that makes the network, or the network itself; or the
    file of a program with its weights, of `torch.export` (.pt2) or TorchScript."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for that function or class."""
    weights: str | None = None
    """A file .safetensors, .pt, .pth or .npz, found from the current folder; null where the network comes with its
    weights."""


class NamedSection(TeacherSection):
    """A network that a library knows by name."""

    pretrained: bool = True
    """true or false: whether the network has the library's own weights and classes. `weights` comes before it."""
    weights: str | None = None
    """A file for the network with the task's number of classes."""

    @model_validator(mode="after")
    def _has_weights(self) -> NamedSection:
        if not self.pretrained and self.weights is None:
            raise ValueError("an untrained network teaches nothing: give 'weights', or keep 'pretrained' true")
        return self


class TimmSection(NamedSection):
    """A network of timm by name."""

    timm: str
    """The name in timm's registry."""


class TorchvisionSection(NamedSection):
    """A network of torchvision by name."""

    torchvision: str
    """The name in torchvision's registry."""


class OnnxSection(TeacherSection):
    """An ONNX file with one input and one output, run by ONNX Runtime on one CPU thread."""

    onnx: str
    """The file, found from the current folder."""
    gives: Gives = "logits"
    """What its output is: logits or probabilities."""


class SklearnSection(TeacherSection):
    """A scikit-learn classifier by reference; it sees inputs flattened to (batch, features)."""

    sklearn: str
    """module:attr: a classifier, or a class or function that makes one. A classifier that is not fitted is fitted on
    all training labels, and answers each of these rows by a model that was fitted without that row."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for that class or function."""
    folds: int = Field(default=5, ge=2)
    """A whole number >= 2: into how many parts these rows are cut for that."""


class OutputsSection(TeacherSection):
    """Answers that were computed elsewhere."""

    outputs: str
    """A .npy file, found from the current folder, of shape (rows, num_outputs) or (views, rows, num_outputs); its rows
    are the task's first rows, and NaN stands where there is no answer."""
    gives: Gives = "logits"
    """What the numbers are: logits or probabilities."""


_FORMS: Mapping[str, type[TeacherSection]] = {
    "network": NetworkSection,
    "timm": TimmSection,
    "torchvision": TorchvisionSection,
    "onnx": OnnxSection,
    "sklearn": SklearnSection,
    "outputs": OutputsSection,
    "weights": SpaceSection,
    "space": TrainedSection,
}
"""By the key that tells a form from the others, the first there deciding; pydantic's tags are their names."""


def _form(given: Any) -> str | None:
    if isinstance(given, TeacherSection):
        return type(given).__name__
    if isinstance(given, Mapping) and not is_dumped_object(given):
        return next((model.__name__ for key, model in _FORMS.items() if key in given), None)
    return "name" if isinstance(given, str) else "object"


def _alone(teacher: Any) -> Any:
    if isinstance(teacher, TeacherSection) and teacher.weight != 1:
        raise ValueError("'weight' is a share of an ensemble: give a list of teachers, or leave it out")
    return teacher


Member = Annotated[
    Annotated[str, Tag("name")]
    | Annotated[NetworkSection, Tag("NetworkSection")]
    | Annotated[TimmSection, Tag("TimmSection")]
    | Annotated[TorchvisionSection, Tag("TorchvisionSection")]
    | Annotated[OnnxSection, Tag("OnnxSection")]
    | Annotated[SklearnSection, Tag("SklearnSection")]
    | Annotated[OutputsSection, Tag("OutputsSection")]
    | Annotated[SpaceSection, Tag("SpaceSection")]
    | Annotated[TrainedSection, Tag("TrainedSection")]
    | Annotated[SkipJsonSchema[object], Tag("object")],
    Discriminator(
        _form,
        custom_error_type="teacher_form",
        custom_error_message="a mapping with one of the keys network, timm, torchvision, onnx, sklearn, outputs or "
        "space (with arch, and epochs or weights)",
    ),
]
"""One teacher: a reference, a section, or an object that is a teacher or becomes one."""

Teacher = Annotated[
    Annotated[Member, Tag("one")]
    | Annotated[tuple[Member, ...], Field(min_length=1), BeforeValidator(as_tuple), Tag("several")],
    Discriminator(lambda given: "several" if isinstance(given, list | tuple) else "one"),
    AfterValidator(_alone),
]
"""One teacher, or several: an ensemble."""


def read_teacher(given: object) -> Any:
    """What a `teacher:` stands for: sections are read; references, objects and what was read stay as they are.

    Raises:
        InputError: an unknown or missing key, or a value out of range; names the key.
    """
    return read(Teacher, given, key="teacher")
