"""The `teacher:` section of a study. Each kind of teacher has a form of its own, which its keys identify."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from autokd.study.explanation import read, shown
from autokd.study.reading import ReadingSection, ReadingSetting
from autokd.study.section import Section, as_tuple
from autokd.study.task import is_dumped_object

Gives = Literal["logits", "probabilities"]

_Class = Annotated[str, BeforeValidator(lambda given: str(given) if type(given) is int else given)]
"""The name of a class. YAML reads a name of digits as a number."""


class TeacherSection(Section):
    """Keys that every form of teacher has."""

    keeps_defaults: ClassVar[bool] = False

    weight: float = Field(1.0, gt=0)
    """The teacher's share in the mean of several teachers, relative to theirs; only in a list. Write a number > 0."""
    saw_training_rows: bool = False
    """Whether the teacher was also trained on the rows that validation is drawn from. Its score there then says little,
    and AutoKD says so beside the score."""
    reading: ReadingSetting | None = None
    """What the teacher sees of a row. Write null where it sees what students see, or else a mapping as under
    `task.reading`, with one size or length. What the mapping leaves out is as for students."""

    @field_validator("reading")
    @classmethod
    def _is_fixed(cls, reading: ReadingSection | None) -> ReadingSection | None:
        for name, choices in (reading.searched if reading is not None else {}).items():
            raise ValueError(
                f"{name} {shown(list(choices))} given; a teacher reads all rows alike, so write one of them"
            )
        return reading


class TrainedSection(TeacherSection):
    """A network of a search space. AutoKD trains it on all training labels and keeps it in the run folder."""

    space: str
    """The search space that builds the network. Write a plug-in's name or a reference."""
    arch: dict[str, Any]
    """The architecture. Write a mapping that the space's `build` takes."""
    epochs: int = Field(gt=0)
    """How often training passes over the training rows."""
    lr: float = Field(5e-3, gt=0)
    """The peak learning rate of AdamW."""
    weight_decay: float = Field(1e-4, ge=0)
    """The weight decay of AdamW, 0 or more."""
    batch_size: int = Field(64, ge=2)
    """How many rows each training step has. Write a whole number of 2 or more."""


class SpaceSection(TeacherSection):
    """A network of a search space with weights from a file."""

    space: str
    """The search space that builds the network. Write a plug-in's name or a reference."""
    arch: dict[str, Any]
    """The architecture. Write a mapping that the space's `build` takes."""
    weights: str
    """The file of its weights. Write a file .safetensors, .pt, .pth or .npz, found from the current folder."""


class FineTunedSection(TeacherSection):
    """A network that somebody trained, which AutoKD may train further."""

    epochs: int = Field(0, ge=0)
    """How often training passes over all training labels. Write 0 to have the network answer as it is."""
    lr: float = Field(1e-4, gt=0)
    """The peak learning rate of AdamW in that training."""
    weight_decay: float = Field(0.01, ge=0)
    """The weight decay of AdamW, 0 or more."""
    batch_size: int = Field(32, ge=2)
    """How many rows each training step has. Write a whole number of 2 or more."""


class ClassesSection(TeacherSection):
    """A network that may have more classes than the task."""

    classes: dict[_Class, Annotated[int, Field(ge=0)] | str] = Field(default_factory=dict)
    """Which of the network's classes a class of the task is. Write a mapping {class of the task: class of the network}
    with names or numbers, which count from 0, for classes whose names differ. The other classes are found by name where
    the names of the network's classes are known."""


class NetworkSection(ClassesSection):
    """A torch network by reference. It gets inputs as the task normalises them, so let `task.normalise` match how the
    network was trained."""

    network: str
    """The network, or a function or class that makes it. Write module:attr, path/to/file.py:attr, or a file that holds
    a program with its weights, from `torch.export` (.pt2) or TorchScript."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for that function or class."""
    weights: str | None = None
    """The file of its weights. Write a file .safetensors, .pt, .pth or .npz, found from the current folder, or null
    where the network comes with its weights."""


class NamedSection(FineTunedSection, ClassesSection):
    """A network that a library knows by name. If it is trained here, it first gets a layer for the task's classes, and
    this layer is trained alone before the whole network is."""

    pretrained: bool = True
    """Whether the network has the library's own weights. It does not matter where `weights` is given."""
    weights: str | None = None
    """Weights for the network, with the task's number of classes or with the library's own. Write a file .safetensors,
    .pt, .pth or .npz."""

    @model_validator(mode="after")
    def _can_teach(self) -> NamedSection:
        if not self.pretrained and self.weights is None and not self.epochs:
            raise ValueError(
                "an untrained network teaches nothing; give 'weights' or 'epochs', or leave 'pretrained' true"
            )
        if self.classes and self.epochs:
            raise ValueError(
                f"'epochs: {self.epochs}' trains the network for the task's classes; leave out 'classes' or 'epochs'"
            )
        return self


class TimmSection(NamedSection):
    """A network of timm by name."""

    timm: str
    """The network. Write its name in timm's registry."""


class TorchvisionSection(NamedSection):
    """A network of torchvision by name."""

    torchvision: str
    """The network. Write its name in torchvision's registry."""


class HfSection(FineTunedSection, ClassesSection):
    """A classifier of transformers that reads texts or photos in its own way. Its classes are found by their names."""

    hf: str = Field(min_length=1)
    """The checkpoint. Write a folder that `save_pretrained` wrote, or a name in the Hugging Face Hub. Weights are read
    from safetensors alone. A network without classes, or with others, gets a new head if `epochs` is 1 or more."""


class OnnxSection(ClassesSection):
    """An ONNX file with one input and one output, run by ONNX Runtime on one CPU thread."""

    onnx: str
    """The ONNX file. Write its path, found from the current folder."""
    gives: Gives = "logits"
    """What the output of the file means. Write logits or probabilities."""


class SklearnSection(TeacherSection):
    """A model of scikit-learn by reference: a classifier, or a regressor for values. It gets inputs flattened to
    (batch, features). From a task whose data are a table, it gets the rows of the table as a DataFrame."""

    sklearn: str
    """A model, or a class or function that makes one. Write module:attr. AutoKD fits an unfitted model on all training
    labels; each of these rows is answered by a model that was fitted without that row, and without the rows of its
    group. An unfitted model gets categories of a table in the dtype 'category' of pandas and all numbers as float64."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for that class or function."""
    folds: int = Field(default=5, ge=2)
    """Into how many parts the training rows are cut, so that each part is answered by a model fitted on the others."""


class OutputsSection(TeacherSection):
    """Answers that were computed elsewhere."""

    outputs: str
    """The file of the answers. Write a .npy file, found from the current folder, of shape (rows, num_outputs) or
    (views, rows, num_outputs). Its rows are the task's first rows; NaN means that there is no answer."""
    gives: Gives = "logits"
    """What the numbers mean. Write logits or probabilities."""
    origin: str | None = None
    """The layers of the network that gave these answers, for students with `start: teacher`. Write the file
    starts/teacher.safetensors of a run folder, or null."""

    @field_validator("reading")
    @classmethod
    def _reads_nothing(cls, reading: ReadingSection | None) -> ReadingSection | None:
        if reading is not None:
            raise ValueError("a file of answers reads no rows; leave this key out")
        return reading


class HeadsSection(TeacherSection):
    """A teacher for each head of a task with several heads."""

    heads: Annotated[dict[str, TeacherSetting], Field(min_length=1)]
    """The teachers by head. Write a mapping {head: teacher} that names each head of the task, where a teacher is
    written as it would be for that head alone."""


_FORMS: Mapping[str, type[TeacherSection]] = {
    "network": NetworkSection,
    "timm": TimmSection,
    "torchvision": TorchvisionSection,
    "hf": HfSection,
    "onnx": OnnxSection,
    "sklearn": SklearnSection,
    "outputs": OutputsSection,
    "heads": HeadsSection,
    "weights": SpaceSection,
    "space": TrainedSection,
}
"""The forms by the key that identifies them. The first key that is present decides; pydantic's tags are the names."""


def _form(given: Any) -> str | None:
    if isinstance(given, TeacherSection):
        return type(given).__name__
    if isinstance(given, Mapping) and not is_dumped_object(given):
        return next((model.__name__ for key, model in _FORMS.items() if key in given), None)
    return "name" if isinstance(given, str) else "object"


def _alone(teacher: Any) -> Any:
    if isinstance(teacher, TeacherSection) and teacher.weight != 1:
        raise ValueError("'weight' is the share of one teacher among several; give a list of teachers, or leave it out")
    return teacher


Member = Annotated[
    Annotated[str, Tag("name")]
    | Annotated[NetworkSection, Tag("NetworkSection")]
    | Annotated[TimmSection, Tag("TimmSection")]
    | Annotated[TorchvisionSection, Tag("TorchvisionSection")]
    | Annotated[HfSection, Tag("HfSection")]
    | Annotated[OnnxSection, Tag("OnnxSection")]
    | Annotated[SklearnSection, Tag("SklearnSection")]
    | Annotated[OutputsSection, Tag("OutputsSection")]
    | Annotated[HeadsSection, Tag("HeadsSection")]
    | Annotated[SpaceSection, Tag("SpaceSection")]
    | Annotated[TrainedSection, Tag("TrainedSection")]
    | Annotated[SkipJsonSchema[object], Tag("object")],
    Discriminator(
        _form,
        custom_error_type="teacher_form",
        custom_error_message="a mapping with one of the keys network, timm, torchvision, hf, onnx, sklearn, "
        "outputs, heads or space (with arch, and epochs or weights)",
    ),
]
"""One teacher: a reference, a section, or an object that is a teacher or becomes one."""

TeacherSetting = Annotated[
    Annotated[Member, Tag("one")]
    | Annotated[tuple[Member, ...], Field(min_length=1), BeforeValidator(as_tuple), Tag("several")],
    Discriminator(lambda given: "several" if isinstance(given, list | tuple) else "one"),
    AfterValidator(_alone),
]
"""One teacher, or several: an ensemble."""


HeadsSection.model_rebuild()


def members_of(teacher: object) -> list[object]:
    """The sections and teachers that a section names: also those in ensembles, and those by head below their own."""
    if isinstance(teacher, list | tuple):
        return [each for member in teacher for each in members_of(member)]
    if isinstance(teacher, HeadsSection):
        return [teacher, *(each for member in teacher.heads.values() for each in members_of(member))]
    return [teacher]


def read_teacher(given: object) -> Any:
    """The teacher that a `teacher:` section stands for. Sections are read; references and objects stay as they are.

    Raises:
        InputError: a key is unknown or missing, or a value is out of range; names the key.
    """
    return read(TeacherSetting, given, key="teacher")
