"""The `reading:` key of a task or a teacher: what a network sees of a row. Each kind has a form of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from autokd.study.explanation import shown
from autokd.study.section import Section, as_tuple, refuse_no_plain_data

Level = Annotated[int, Field(ge=0, le=255)]
"""The strength of a colour."""


AboveZero = Annotated[float, Field(gt=0)]


class NormaliseSection(Section):
    """Mean and standard deviation of each channel. Whole numbers (uint8) count as scaled to 0 .. 1."""

    keeps_defaults: ClassVar[bool] = False

    mean: Annotated[tuple[float, ...], Field(min_length=1), BeforeValidator(as_tuple)]
    """What is subtracted. Write a list of numbers, one for each channel (or feature)."""
    std: Annotated[tuple[AboveZero, ...], Field(min_length=1), BeforeValidator(as_tuple)]
    """What the result is divided by. Write a list of numbers > 0, one for each channel (or feature)."""


def word_or_section(given: Any) -> str:
    """The tag of a word, or of a section of keys."""
    return "section" if isinstance(given, Mapping | Section) else "word"


class ReadingSection(Section):
    """What every form of reading has."""

    keeps_defaults: ClassVar[bool] = False

    may_be_searched: ClassVar[tuple[str, ...]] = ()
    """The keys that take a list of choices."""

    reads: ClassVar[str] = ""
    """The data whose rows are read so, for messages."""

    @property
    def searched(self) -> dict[str, tuple[Any, ...]]:
        """The choices of each setting that is searched, by name; a setting of one value is not searched."""
        values = {name: getattr(self, name) for name in self.may_be_searched}
        return {name: value for name, value in values.items() if isinstance(value, tuple)}


def _size(given: Any) -> Any:
    """A size as a whole number for squares, or as a text such as 48x64."""
    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return given
    sides = given.split("x") if isinstance(given, str) else []
    if len(sides) == 2 and all(side.isascii() and side.isdigit() and int(side) >= 1 for side in sides):
        height, width = map(int, sides)
        return height if height == width else f"{height}x{width}"
    raise ValueError(f"{shown(given)} given; write a whole number >= 1 for squares, or HEIGHTxWIDTH such as 48x64")


def _choices(given: Any) -> Any:
    choices = as_tuple(given)
    if isinstance(choices, tuple) and (not choices or len(set(choices)) < len(choices)):
        raise ValueError(f"{shown(list(choices))} given; write one or more different choices")
    return choices


def _listed(given: Any) -> Any:
    return (given,) if isinstance(given, str) else as_tuple(given)


def _word_or_list(given: Any) -> str:
    return "list" if isinstance(given, list | tuple) else "word"


Size = Annotated[int | str, BeforeValidator(_size)]
Sizes = Annotated[
    Annotated[Size, Tag("word")]
    | Annotated[tuple[Size, ...], BeforeValidator(as_tuple), AfterValidator(_choices), Tag("list")],
    Discriminator(_word_or_list),
]


class PhotoReading(ReadingSection):
    """How images of any size and kind become images of one size, with one channel if all are grey, and else three."""

    may_be_searched: ClassVar[tuple[str, ...]] = ("size",)
    reads: ClassVar[str] = "folders of images"

    size: Sizes
    """The size of all images, in pixels. Write a whole number >= 1 for squares, or HEIGHTxWIDTH, such as 48x64. A list
    of sizes, such as [16, 24, 32], is searched."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """What happens to an image of another shape. Write 'crop' (its borders are cut off, evenly on both sides), 'pad'
    (it gets borders of the colour `background`), or 'stretch' (it is distorted)."""
    background: Annotated[tuple[Level, Level, Level], BeforeValidator(as_tuple)] = (255, 255, 255)
    """The colour behind transparent images and around padded ones. Write a list [red, green, blue] of whole numbers
    from 0 to 255; the default is white."""
    normalise: Annotated[
        Annotated[Literal["standard", "unit", "none"] | None, Tag("word")]
        | Annotated[NormaliseSection, Tag("section")],
        Discriminator(word_or_section),
    ] = None
    """How the pixels are normalised. Write null to have this as `normalise` of the task says, or one of its values. A
    teacher that was trained elsewhere needs the mean and the deviation of its training here."""
    on_error: Literal["refuse", "skip"] = "refuse"
    """What happens if an image cannot be read. Write 'refuse', or 'skip' to leave such images out and list them in the
    log. With 'skip', each image is read twice."""


def sides(size: int | str) -> tuple[int, int]:
    """Height and width of a size as a study holds it."""
    height, _, width = str(size).partition("x")
    return int(height), int(width or height)


class ColumnReading(ReadingSection):
    """Some columns of a table. Another teacher or student may read other columns of the same rows."""

    reads: ClassVar[str] = "tables"

    columns: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_listed)]
    """The columns that are read. Write a list of names, or of patterns such as mor*."""


Count = Annotated[int, Field(ge=1)]
Counts = Annotated[
    Annotated[Count, Tag("word")]
    | Annotated[tuple[Count, ...], BeforeValidator(as_tuple), AfterValidator(_choices), Tag("list")],
    Discriminator(_word_or_list),
]

TRAINED = ("wordpiece", "bpe")
"""The kinds of tokenizers that AutoKD trains."""

SEEN = "seen"
"""The vocabulary of a tokenizer in a file that holds the pieces that occur in training texts."""


def _vocabulary(given: Any) -> Any:
    if given == SEEN or (isinstance(given, int) and not isinstance(given, bool) and given >= 1):
        return given
    raise ValueError(f"{shown(given)} given; write a whole number >= 1 or, for a tokenizer in a file, {SEEN}")


Vocabulary = Annotated[int | Literal["seen"], BeforeValidator(_vocabulary)]
Vocabularies = Annotated[
    Annotated[Vocabulary, Tag("word")]
    | Annotated[tuple[Vocabulary, ...], BeforeValidator(as_tuple), AfterValidator(_choices), Tag("list")],
    Discriminator(_word_or_list),
]


class TextReading(ReadingSection):
    """How a text becomes numbers: a tokenizer cuts it into tokens, of which the first ones are read."""

    may_be_searched: ClassVar[tuple[str, ...]] = ("length", "vocabulary")
    reads: ClassVar[str] = "texts"

    length: Counts = 64
    """The most tokens that are read of a text. Write a whole number >= 1. A list of lengths, such as [16, 32, 64], is
    searched."""
    tokenizer: str = Field("wordpiece", min_length=1)
    """What cuts a text into tokens. Write 'wordpiece' (lower-case pieces of words) or 'bpe' (pieces of any bytes) to
    have one trained on the training texts, or the path of a file tokenizer.json, of a vocab.txt, or of a folder that
    has one of them."""
    vocabulary: Vocabularies = 4000
    """The most tokens that a tokenizer knows. Write a whole number; for a tokenizer in a file, the tokens that occur
    most often in training texts stay, and 'seen' keeps all that occur there. Without the key, a tokenizer in a file is
    not trimmed. A list, such as [1000, 4000], is searched."""

    @model_validator(mode="after")
    def _fits(self) -> TextReading:
        choices = self.vocabulary if isinstance(self.vocabulary, tuple) else (self.vocabulary,)
        if self.tokenizer in TRAINED and SEEN in choices:
            raise ValueError(
                f"'vocabulary: {SEEN}' trims a tokenizer that is in a file, and '{self.tokenizer}' is trained on these "
                "texts; write a whole number"
            )
        return self


class OwnReading(ReadingSection):
    """Code of your own that makes an array of raw rows. A plain string that names it stands for `{reading: string}`."""

    reads: ClassVar[str] = "rows of all kinds"

    reading: str = Field(min_length=1)
    """What reads the rows. Write a reference to a function of raw rows, or to a class or an object with a method
    `batch(rows)`: path/to/file.py:attr, module:attr, or a plug-in's name."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for that function or class. Write a mapping of plain data, such as {mels: 32}."""

    @model_validator(mode="before")
    @classmethod
    def _of_a_reference(cls, given: Any) -> Any:
        return {"reading": given} if isinstance(given, str) else given

    @field_validator("args")
    @classmethod
    def _are_plain(cls, args: dict[str, Any]) -> dict[str, Any]:
        refuse_no_plain_data(args)
        return args


_FORMS: Mapping[str, type[ReadingSection]] = {
    "size": PhotoReading,
    "columns": ColumnReading,
    "length": TextReading,
    "tokenizer": TextReading,
    "vocabulary": TextReading,
    "reading": OwnReading,
}
"""The forms by the key that identifies them. The first key that is present decides; pydantic's tags are the names."""


def _form(given: Any) -> str | None:
    if isinstance(given, ReadingSection):
        return type(given).__name__
    if isinstance(given, str):
        return OwnReading.__name__
    if not isinstance(given, Mapping):
        return None
    return next((form.__name__ for key, form in _FORMS.items() if key in given), None)


ReadingSetting = Annotated[
    Annotated[PhotoReading, Tag("PhotoReading")]
    | Annotated[ColumnReading, Tag("ColumnReading")]
    | Annotated[TextReading, Tag("TextReading")]
    | Annotated[OwnReading, Tag("OwnReading")],
    Discriminator(
        _form,
        custom_error_type="reading_form",
        custom_error_message=f"a mapping with one of the keys {', '.join(_FORMS)}",
    ),
]
"""What a network sees of a row."""
