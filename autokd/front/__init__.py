"""The answer of a search: the Pareto-optimal students, how one of them is picked, and how the answer is shown.

Read in this order: `student` and `front` (what it is), `words` (how numbers are written), `axes` (what a picture
shows), `figure`, `page` (what a notebook shows).
"""

from autokd.front.front import Front, marked
from autokd.front.objectives import as_objectives
from autokd.front.student import Door, Student

__all__ = ["Door", "Front", "Student", "as_objectives", "marked"]
