"""How long a student takes to answer: measuring, tables of what was measured, and predicting what was not.

`timing` times networks with the clocks of `timers`, `table` keeps measurements in a file, and `prediction` predicts
others from them. `latencies` joins these for one objective of a run. `meter` says on which machine all of this is
measured, and `node` is such a machine in a Ray cluster.
"""
