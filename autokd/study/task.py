"""The `task:` section of a study. All of its defaults are set here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from autokd.study.explanation import read, shown
from autokd.study.reading import AboveZero, NormaliseSection, ReadingSetting, word_or_section
from autokd.study.section import Section, as_tuple, refuse_no_plain_data

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
FractionOrAll = Annotated[float, Field(gt=0, le=1)]
Labels = Annotated[tuple[int | str, ...], BeforeValidator(as_tuple)]
Weights = Annotated[tuple[AboveZero, ...], BeforeValidator(as_tuple)]


def as_names(given: Any) -> Any:
    """A list of names, of one name if it is not a list."""
    return (given,) if isinstance(given, str) else as_tuple(given)


Names = Annotated[tuple[str, ...], BeforeValidator(as_names)]


def _word_or_list(given: Any) -> str:
    return "list" if isinstance(given, list | tuple) else "word"


def _pixels_or_fraction(given: Any) -> str:
    return "fraction" if isinstance(given, float) else "pixels"


Extent = Annotated[
    Annotated[int, Field(ge=0), Tag("pixels")] | Annotated[Fraction, Tag("fraction")],
    Discriminator(_pixels_or_fraction),
]


class AugmentSection(Section):
    """How training images are varied. The data must be images, not features."""

    keeps_defaults: ClassVar[bool] = False

    views: Count = 4
    """How many versions of each image there are. The first is the image itself, so 1 means no augmentation. Write a
    whole number >= 1."""
    flip: bool = False
    """Whether every second version is mirrored from left to right. Write true or false."""
    crop: Extent = 0
    """By how much at most a version is shifted; zeros fill the gap. Write a whole number of pixels >= 0, or a fraction
    in (0, 1) of the height and of the width, such as 0.1. Images of several sizes take fractions only."""
    cutout: Extent = 0
    """The sides of a hole of zeros that is put anywhere in the image. Write a whole number of pixels >= 0, or a
    fraction in (0, 1) of the height and of the width, such as 0.25. Images of several sizes take fractions only."""

    @model_validator(mode="after")
    def _varies(self) -> AugmentSection:
        if self.views > 1 and not (self.flip or self.crop or self.cutout):
            raise ValueError(f"the {self.views} views would all be alike; add flip: true, crop: 2 or cutout: 4")
        return self


class HeadSection(Section):
    """What one answer of a student means, with settings. The word for its kind alone stands for `{kind: word}`."""

    keeps_defaults: ClassVar[bool] = False

    kind: Literal["classes", "labels", "values", "positions"]
    """The kind of answer. Write 'classes' (one class a row), 'labels' (several may hold at once), 'values' (real
    numbers), or 'positions' (one class at each position of a row)."""
    variance: bool = False
    """Whether students also answer how far a value may lie from the answer; for values only. Write true or false."""
    ignored: int = -100
    """The target of places that do not count; for positions only. Write a whole number."""

    @model_validator(mode="before")
    @classmethod
    def _of_word(cls, given: Any) -> Any:
        return {"kind": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _fits(self) -> HeadSection:
        for key, kind in (("variance", "values"), ("ignored", "positions")):
            if key in self.model_fields_set and self.kind != kind:
                raise ValueError(f"'{key}' is for {kind}, and these are {self.kind}; leave it out")
        return self


def _one_or_several(given: Any) -> str:
    several = isinstance(given, Mapping) and "kind" not in given
    return "several" if several else "none" if given is None else "one"


def _names_or_mapping(given: Any) -> str:
    return "mapping" if isinstance(given, Mapping) else "list" if isinstance(given, list | tuple) else "word"


class TaskSection(Section):
    """Data with their targets and splits: arrays, images or a table. A plain string stands for `{data: string}`."""

    keeps_defaults: ClassVar[bool] = False

    data: str
    """The data. Write digits, a .npz file, a table (.csv, .csv.gz, .tsv, .parquet, .jsonl), a folder (or prefix) of idx
    files, a folder class/name.png, torchvision:NAME, a folder in which the library datasets or AutoKD saved data, or a
    reference to a torch Dataset or a DataFrame (module:attr, file.py:attr)."""
    text: str | None = None
    """The column of texts that students read. Write a column; the rows of the table are then texts, and its other
    columns are no inputs. Empty texts and words such as NA are texts, too."""
    target: Annotated[
        Annotated[str | None, Tag("word")]
        | Annotated[Names, Tag("list")]
        | Annotated[dict[str, Names], Tag("mapping")],
        Discriminator(_names_or_mapping),
    ] = None
    """What students learn to answer from a table. Write a column, a list of columns that are answered together, or a
    mapping {head: column} or {head: [columns]} for several answers. These columns are no inputs."""
    heads: Annotated[
        Annotated[None, Tag("none")]
        | Annotated[HeadSection, Tag("one")]
        | Annotated[dict[str, HeadSection], Tag("several")],
        Discriminator(_one_or_several),
    ] = None
    """What the targets mean. Write null to have this guessed (the log tells the guess), 'classes', 'labels', 'values',
    'positions', or a mapping {head: kind} where there are several. With settings, a kind is written as {kind: values,
    variance: true} or {kind: positions, ignored: 255}. Guessed are values where targets have fractions, and classes
    elsewhere; in a table, also values for whole numbers of more than 20 kinds, and labels for several columns of 0 and
    1."""
    drop: Names = ()
    """Columns of a table that are not used. Write a list of columns."""
    categories: Names = ()
    """Columns of a table that hold categories, although they look like numbers. Write a list of columns."""
    numbers: Names = ()
    """Columns of a table that hold numbers; what is no number there counts as missing. Write a list of columns."""
    split: str | None = None
    """What assigns the rows of a table to splits, by the words train, validation and test. Write a column, or a file
    (.csv, .parquet) with one column and a row for each row of the table. Rows for validation are drawn from those of
    train if no row is assigned to it; so are those for test."""
    group: str | None = None
    """What rows of a table belong together, such as those of one patient. Write a column; rows with the same value in
    this column are always in the same split. The column is no input."""
    order: str | None = None
    """The time of the rows of a table. Write a column of numbers or dates; the last rows are for test, those before
    them for validation, and the first ones for training. The column is no input."""
    labels: Count | FractionOrAll | None = None
    """How many training labels are used, with every class in proportion. Write a count, a fraction in (0, 1], or null
    for all. All other training rows become the transfer set: students see what the teacher answers, but no label."""
    rows: Count | None = None
    """How many training rows a search uses, with every class in proportion. Write a count, or null for all. The others
    are kept for retraining."""
    validation: Count | Fraction = 0.2
    """How many rows students are compared on, with every class in proportion. Write a count, or a fraction in (0, 1) of
    the rows they are drawn from. Where the data have validation rows of their own, those are used."""
    validation_from: Literal["train", "labels"] = "train"
    """Where validation rows are drawn from. Write 'train' (from all training rows, in addition to `labels`) or 'labels'
    (from within `labels`, so that no other label is used)."""
    test: Fraction = 0.2
    """How many rows students are tested on, with every class in proportion, and the same rows for every seed. Write a
    fraction in (0, 1) of all rows. Where the data have test rows of their own, those are used."""
    label_noise: float = Field(0.0, ge=0, lt=1)
    """The share of labels, outside validation and test, that is changed to another class. Write a fraction in [0,
    1)."""
    augment: AugmentSection | None = None
    """How training images are varied. Write null, or a mapping like {views: 4, flip: true, crop: 2, cutout: 4}."""
    reading: ReadingSetting | None = None
    """What students see of a row. Write null to have this as the data are, or a mapping with the key size (of images in
    folders), length (of texts), columns (of a table) or reading (code of your own). A list of sizes or lengths is
    searched: students differ in what they see."""
    layout: Literal["channels_first", "channels_last"] | None = None
    """Which dimension of an array of images counts the channels. Write 'channels_first' for images of shape (rows,
    channels, height, width), 'channels_last' for (rows, height, width, channels), or null where the shape tells. A
    shape that may be either, such as (rows, 16, 4, 4), is refused without this key."""
    unlabelled: Annotated[
        Annotated[int | str | None, Tag("word")] | Annotated[Labels, Tag("list")], Discriminator(_word_or_list)
    ] = "auto"
    """Labels that mean "no label"; their rows join the transfer set. Write a number, a text, a list of them, null for
    none, or 'auto'. With 'auto', NaN and None mean it, and so does -1 where there are two or more other classes."""
    class_weights: Annotated[
        Annotated[Literal["balanced"] | None, Tag("word")] | Annotated[Weights, Tag("list")],
        Discriminator(_word_or_list),
    ] = None
    """How much each class counts in the loss. Write null, 'balanced', or a list of numbers > 0, one for each class.
    Unless it is null, the score is balanced accuracy."""
    max_gb: float = Field(20.0, gt=0, allow_inf_nan=True)
    """How many gigabytes the data may take on disk, checked before they are read. Write a number > 0."""
    normalise: Annotated[
        Annotated[Literal["standard", "unit", "none"], Tag("word")] | Annotated[NormaliseSection, Tag("section")],
        Discriminator(word_or_section),
    ] = "standard"
    """How inputs are normalised. Write 'standard' (by mean and standard deviation of each channel over the training
    rows), 'unit' (divided by the largest value), 'none', or a mapping {mean: [...], std: [...]}."""

    @property
    def normalised(self) -> str | NormaliseSection:
        """How inputs are normalised: as the reading says, or else as the task says."""
        return getattr(self.reading, "normalise", None) or self.normalise


class TableSection(Section):
    """Results of trainings that are already done. A search looks them up instead of training."""

    table: str = Field(min_length=1)
    """The file of the table, beside a file of the same name that ends in .json. Write path/to/file.csv.gz."""

    @model_validator(mode="before")
    @classmethod
    def _says_nothing_else(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and not (len(given) == 1 and isinstance(given["table"], str) and given["table"]):
            raise ValueError(f"{shown(given)} given; write {{table: path/to/file.csv.gz}} and no other key")
        return given


class MadeTaskSection(Section):
    """A task of your own, which a function makes. A plain string that names it stands for `{task: string}`."""

    keeps_defaults: ClassVar[bool] = False

    task: str = Field(min_length=1)
    """What makes the task. Write a reference to a function or a class, or to the task itself: module:attr,
    path/to/file.py:attr, or a plug-in's name."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for that function or class. Write a mapping of plain data, such as {rows: 1000}."""

    @field_validator("args")
    @classmethod
    def _are_plain(cls, args: dict[str, Any]) -> dict[str, Any]:
        refuse_no_plain_data(args)
        return args


def is_tabulated(task: object) -> bool:
    """Whether a `task:` section, read or not, names a table."""
    return isinstance(task, TableSection) or (isinstance(task, Mapping) and "table" in task)


def is_dumped_object(given: object) -> bool:
    """Whether this is the entry in a dump for a Python object that no other process can import."""
    return isinstance(given, Mapping) and set(given) == {"object"}


def _kind(given: Any) -> str:
    if is_tabulated(given):
        return "TableSection"
    if isinstance(given, MadeTaskSection) or (isinstance(given, Mapping) and "task" in given):
        return "MadeTaskSection"
    if isinstance(given, TaskSection) or (isinstance(given, Mapping) and not is_dumped_object(given)):
        return "TaskSection"
    return "name" if isinstance(given, str) else "object"


TaskSetting = Annotated[
    Annotated[str, Tag("name")]
    | Annotated[TaskSection, Tag("TaskSection")]
    | Annotated[MadeTaskSection, Tag("MadeTaskSection")]
    | Annotated[TableSection, Tag("TableSection")]
    | Annotated[SkipJsonSchema[object], Tag("object")],
    Discriminator(_kind),
]
"""The value of `task` in a study: data or a task by name, with or without settings, a table, or a task itself."""


def read_task(given: object) -> TaskSection:
    """The settings that a `task:` section stands for. A section that was already read is returned as it is.

    Raises:
        InputError: a key is unknown, missing, or has a value that is not valid; names the first such key.
    """
    section: TaskSection = read(
        TaskSection, {"data": str(given)} if isinstance(given, str | Path) else given, key="task"
    )
    return section


def named_in_task(task: object) -> tuple[str, Mapping[str, Any]] | None:
    """The reference to code that a `task:` section may hold, and its keyword arguments; None if it can hold none.

    A string may also name data, such as a file; only who opens the task can tell.
    """
    if isinstance(task, str):
        return task, {}
    if isinstance(task, MadeTaskSection):
        return task.task, task.args
    return (task.data, {}) if isinstance(task, TaskSection) else None
