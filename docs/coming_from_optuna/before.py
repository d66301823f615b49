"""A search for small digit classifiers with Optuna alone."""

import optuna
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

inputs, labels = (torch.tensor(each) for each in load_digits(return_X_y=True))
inputs = (inputs.float() / 16).reshape(-1, 1, 8, 8)
rows = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
train, validation = rows[:100], rows[-288:]


def student(trial):
    channels = trial.suggest_int("channels", 4, 16, log=True)
    layers = [nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    features = channels * 16
    for i in range(trial.suggest_int("hidden_layers", 0, 2)):
        width = trial.suggest_int(f"width_{i}", 8, 64, log=True)
        layers += [nn.Linear(features, width), nn.ReLU()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, 10))


def objective(trial):
    network = student(trial)
    lr = trial.suggest_float("lr", 1e-3, 3e-2, log=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr)
    for _ in range(9):
        for batch in train.split(20):
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs[batch]), labels[batch]).backward()
            optimizer.step()
    network.eval()
    accuracy = (network(inputs[validation]).argmax(dim=1) == labels[validation]).float().mean()
    return float(accuracy), sum(weight.numel() for weight in network.parameters())


study = optuna.create_study(directions=["maximize", "minimize"])
study.optimize(objective, n_trials=12)
for best in study.best_trials:
    print(best.values, best.params)
