from sklearn.datasets import load_digits

from autokd.tasks import from_arrays

digits = load_digits()
images = digits.images.astype("uint8")
task = from_arrays(images, digits.target, name="digits", labels=100)

{split: len(rows) for split, rows in task.splits.items()}

from sklearn.ensemble import ExtraTreesClassifier

teacher = ExtraTreesClassifier(300, random_state=0)

import autokd

front = autokd.search(
    task=task,
    teacher=teacher,
    space="mlp",
    objectives={"accuracy": {}, "parameters": {"bound": 20000}},
    recipe={"temperature": [1, 2, 4], "alpha": [0.5, 0.9, 1], "method": "kd", "lr": 0.03},
    trials=40,
    rungs=(3, 9, 27),
    baselines={"hard": {"budget.trials": 12}},
    name="tutorial",
    progress=True,
)

front

axes = front.plot()
axes.set_title("Students of digits with 100 labels")
front.to_dataframe()[["trial", "accuracy", "parameters", "test.accuracy", "within_noise"]]

student = front.pick(by="accuracy", maximum={"parameters": 2000})

print(f"trial {student.trial}: {student.values}")
print(student.arch)
print(student.recipe)

trained = student.retrain(seeds=3, epochs=54)

trained["validation"], trained["test"]

print(student.export("student.onnx"))

import json

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("student.onnx")
card = json.loads(session.get_modelmeta().custom_metadata_map["autokd"])
shift, divisor = (np.array(card["inputs"][key]).reshape(-1, 1, 1) for key in ("shift", "divisor"))

test = task.splits["test"].numpy()
raw = images[test][:, np.newaxis]  # (rows, channels, height, width)
(logits,) = session.run(None, {"input": ((raw - shift) / divisor).astype("float32")})

answers = np.array(card["task"]["classes"])[logits.argmax(axis=1)].astype(int)
print(f"{(answers == digits.target[test]).mean():.3f} of {len(test)} test images are right")
