#!/bin/bash
#SBATCH --job-name=autokd
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=08:00:00
# One Ray cluster for the time of the job, its driver on the first node. The record is SQLite and lies on that node's own disk;
# the run folder is copied from $HOME and back, so that a job that is submitted again goes on. Checkpoints go to $HOME.
set -euo pipefail
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN="${RAY_AUTH_TOKEN:-$(openssl rand -hex 32)}"
export OMP_NUM_THREADS=1

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
run=/var/tmp/$USER/my_search
mkdir -p "$HOME/runs" "$HOME/students" "$(dirname "$run")"
[ -d "$HOME/runs/my_search" ] && cp -a "$HOME/runs/my_search" "$(dirname "$run")"
trap 'cp -a "$run" "$HOME/runs/"' EXIT

srun --export=ALL ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_NNODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" -- \
    autokd search study.yaml --run "$run" \
    --executor ray executor.address=auto executor.storage="$HOME/students" executor.workers=$((SLURM_NNODES * SLURM_CPUS_PER_TASK))
