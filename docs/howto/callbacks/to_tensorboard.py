"""A search in TensorBoard, with a curve for each student. Look at it with `tensorboard --logdir tensorboard`."""

from torch.utils.tensorboard import SummaryWriter

import autokd

search_writer = SummaryWriter("tensorboard/search")
writers = {}


def on_event(event):
    if event["baseline"]:  # the rival searches of a study have events, too
        return
    if event["event"] == "trial_began":
        writers[event["trial"]] = SummaryWriter(f"tensorboard/trial-{event['trial']:05d}")
        writers[event["trial"]].add_text("student", f"{event['arch']} {event['recipe']}")
    elif event["event"] == "stretch_ended":
        for name, value in event["values"].items():
            writers[event["trial"]].add_scalar(name, value, event["epoch"])
    elif event["event"] == "trial_ended" and event["trial"] in writers:
        writers.pop(event["trial"]).close()
    elif event["event"] == "progress" and event["hypervolume"] is not None:
        search_writer.add_scalar("hypervolume", event["hypervolume"], event["epochs_spent"])


front = autokd.search(
    task={"data": "digits", "labels": 100},
    teacher={"sklearn": "sklearn.neighbors:KNeighborsClassifier"},
    space="mlp",
    trials=3,
    rungs=(1, 2),
    on_event=on_event,
)
search_writer.close()
