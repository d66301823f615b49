"""A search in Weights & Biases, without a network; `wandb sync wandb/offline-run-*` uploads it later."""

import wandb

import autokd

run = wandb.init(project="digits", mode="offline")
run.define_metric("trial")
run.define_metric("*", step_metric="trial")


def on_event(event):
    if event["baseline"]:  # the rival searches of a study have events, too
        return
    if event["event"] == "trial_ended" and event["epoch"]:  # of students that were trained
        run.log({"trial": event["trial"], "epochs": event["epoch"], **event["values"]})
    elif event["event"] == "search_ended":
        names = [objective["name"] for objective in event["objectives"]]
        rows = [[student["trial"], *(student["values"][name] for name in names)] for student in event["front"]]
        run.log({"front": wandb.Table(columns=["trial", *names], data=rows)})
        run.summary["hypervolume"] = event["hypervolume"]


front = autokd.search(
    task={"data": "digits", "labels": 100},
    teacher={"sklearn": "sklearn.neighbors:KNeighborsClassifier"},
    space="mlp",
    trials=3,
    rungs=(1, 2),
    on_event=on_event,
)
run.finish()
