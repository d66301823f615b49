"""The answer of a search: the Pareto-optimal students, how to pick one of them, and how the front is shown.

Read the modules in this order: `student` and `front` (the data), `words` (how numbers are written), `axes` (what a
picture shows), `figure` (pictures), `page` (what a notebook shows).
"""

from autokd.front.front import Front, marked
from autokd.front.objectives import as_objectives
from autokd.front.student import Door, Student

__all__ = ["Door", "Front", "Student", "as_objectives", "marked"]
