"""A search in MLflow: a run for the search, and a run below it for each student. Look at it with `mlflow ui`."""

from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

import autokd

client = MlflowClient("sqlite:///mlflow.db")
experiment = client.create_experiment("digits")
parent = client.create_run(experiment, run_name="search").info.run_id
children = {}


def on_event(event):
    if event["baseline"]:  # the rival searches of a study have events, too
        return
    if event["event"] == "trial_began":
        tags = {MLFLOW_PARENT_RUN_ID: parent}
        child = client.create_run(experiment, tags=tags, run_name=f"trial {event['trial']}").info.run_id
        children[event["trial"]] = child
        for name, value in {**event["arch"], **event["recipe"]}.items():
            client.log_param(child, name, value)
    elif event["event"] == "stretch_ended":
        for name, value in event["values"].items():
            client.log_metric(children[event["trial"]], name, value, step=event["epoch"])
    elif event["event"] == "trial_ended" and event["trial"] in children:
        status = {"complete": "FINISHED", "failed": "FAILED"}.get(event["state"], "KILLED")
        client.set_terminated(children.pop(event["trial"]), status)
    elif event["event"] == "search_ended":
        client.log_metric(parent, "hypervolume", event["hypervolume"])
        client.log_dict(parent, {"front": event["front"]}, "front.json")
        client.set_terminated(parent)


front = autokd.search(
    task={"data": "digits", "labels": 100},
    teacher={"sklearn": "sklearn.neighbors:KNeighborsClassifier"},
    space="mlp",
    trials=3,
    rungs=(1, 2),
    on_event=on_event,
)
