"""A search for small digit classifiers that learn from a teacher."""

from torch import nn

import autokd


def student(trial, task):
    channels = trial.suggest_int("channels", 4, 16, log=True)
    layers = [nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    features = channels * 16
    for i in range(trial.suggest_int("hidden_layers", 0, 2)):
        width = trial.suggest_int(f"width_{i}", 8, 64, log=True)
        layers += [nn.Linear(features, width), nn.ReLU()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, task.num_outputs))


if __name__ == "__main__":
    front = autokd.search(
        task={"data": "digits", "labels": 100, "validation": 288},
        teacher={"sklearn": "sklearn.neighbors:KNeighborsClassifier"},
        space=student,
        objectives=["accuracy", "parameters"],
        trials=12,
        rungs=(3, 9),
    )
    for best in front:
        print(best.values, best.arch, best.recipe)
