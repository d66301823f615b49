"""The reading of a table as an ONNX model that takes the columns as they are.

The nodes are written here, because skl2onnx 1.20 did not convert the imputer that marks missing numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from autokd.readings.columns import Category, Number

OUTPUT = "columns/inputs"
"""The output of the model: the inputs of a network, float32, shape (batch, features)."""


def columns_model(
    numbers: Sequence[Number], categories: Sequence[Category], *, missing: Sequence[str], opset: int
) -> ModelProto:
    """The model. It has an input of shape (batch, 1) for each column: float64 for numbers, and texts for categories.

    Args:
        numbers: the columns of numbers; a missing number is NaN.
        categories: the columns of categories.
        missing: the texts that stand for a missing category.
        opset: the version of ONNX's operators.
    """
    from onnx import TensorProto, helper

    inputs = [helper.make_tensor_value_info(each.name, TensorProto.DOUBLE, ["batch", 1]) for each in numbers]
    inputs += [helper.make_tensor_value_info(each.name, TensorProto.STRING, ["batch", 1]) for each in categories]
    made = _Nodes()
    parts = made.numbers(numbers) if numbers else []
    parts += [made.category(each, missing) for each in categories]
    made.add("Concat", *parts, output=OUTPUT, axis=1)
    output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", None])
    return helper.make_model(
        helper.make_graph(made.nodes, "columns", inputs, [output]),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 2)],
    )


class _Nodes:
    """The nodes of a graph, of which each has one output with a name of its own."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []

    def add(self, operator: str, *inputs: str, output: str = "", domain: str = "", **attributes: Any) -> str:
        """Adds a node, and returns the name of its output."""
        from onnx import helper

        name = output or f"columns/{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], domain=domain, **attributes))
        return name

    def constant(self, values: Any, dtype: type) -> str:
        """Adds a constant."""
        from onnx import numpy_helper

        return self.add("Constant", value=numpy_helper.from_array(np.array(values, dtype=dtype)))

    def numbers(self, columns: Sequence[Number]) -> list[str]:
        """The standardised numbers, shape (batch, numbers), and 1 where numbers are missing that may be missing."""
        from onnx import TensorProto

        raw = self.add("Concat", *(each.name for each in columns), axis=1)
        is_missing = self.add("IsNaN", raw)
        mean = self.constant([each.mean for each in columns], np.float64)
        scale = self.constant([each.scale for each in columns], np.float64)
        standardised = self.add("Div", self.add("Sub", raw, mean), scale)
        filled = self.add("Where", is_missing, self.constant(0.0, np.float64), standardised)
        parts = [self.add("Cast", filled, to=TensorProto.FLOAT)]
        marked = [number for number, each in enumerate(columns) if each.missing]
        if marked:
            marks = self.add("Cast", is_missing, to=TensorProto.FLOAT)
            parts.append(self.add("Gather", marks, self.constant(marked, np.int64), axis=1))
        return parts

    def category(self, column: Category, missing: Sequence[str]) -> str:
        """1 for the value of the column, shape (batch, values); 0 everywhere for a value that has no feature."""
        numbers = {value: number for number, value in enumerate(column.values)}
        wholes = {f"{value}.0": number for value, number in numbers.items() if value.removeprefix("-").isdecimal()}
        numbers = wholes | numbers  # whole numbers may come as floats, where some are missing
        if "" in numbers:
            numbers = dict.fromkeys(missing, numbers[""]) | numbers
        value = self.add(
            "LabelEncoder",
            column.name,
            domain="ai.onnx.ml",
            keys_strings=list(numbers),
            values_int64s=list(numbers.values()),
            default_int64=len(column.values),
        )
        known = list(range(len(column.values)))
        hot = self.add("OneHotEncoder", value, domain="ai.onnx.ml", cats_int64s=known, zeros=1)
        return self.add("Reshape", hot, self.constant([-1, len(known)], np.int64))
