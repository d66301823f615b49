"""A task: which way does the bar in a noisy 8x8 image run?"""

import numpy as np

from autokd.tasks import from_arrays

WAYS = ("across", "down", "falling", "rising")


def bars():
    """2,000 images of a bar and noise, of which students may use 80 labels; the other rows go to the teacher alone."""
    random = np.random.default_rng(0)
    labels = np.arange(2000) % 4
    images = random.normal(0, 0.6, size=(2000, 8, 8)).astype(np.float32)
    rows = np.arange(8)
    for image, label, place in zip(images, labels, random.integers(1, 7, size=2000), strict=True):
        if label < 2:
            view = image if label == 0 else image.T
            view[place] += 1
        else:
            view = image if label == 2 else image[:, ::-1]
            shift = place - 4
            inside = (rows + shift >= 0) & (rows + shift < 8)
            view[rows[inside], rows[inside] + shift] += 1
    return from_arrays(images, labels, name="bars", class_names=WAYS, labels=80, validation=400)
