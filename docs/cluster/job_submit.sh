#!/bin/bash
# A search on a running Ray cluster, from your machine. The driver runs on the head, and so does the run folder: give a path
# of the head that outlives the job. What the study and its space import from this folder comes along by --working-dir.
set -euo pipefail
export RAY_AUTH_MODE=token                        # the token lies in ~/.ray/auth_token, or in RAY_AUTH_TOKEN
export RAY_API_SERVER_ADDRESS="${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265}"

ray job submit --working-dir . -- \
    autokd search study.yaml --run /data/runs/my_search \
    --executor ray executor.address=auto executor.workers=64 executor.storage=s3://my-bucket/students
