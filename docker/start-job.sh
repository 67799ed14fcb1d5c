#!/usr/bin/env bash
# Start the JobManager as the job, from the newest complete checkpoint or savepoint in LIVETOWER_HOME, or with nothing
# when there is none. LIVETOWER_RESTORE names another one. The words given are standalone-job.sh's.
#
# For one machine: under Kubernetes the operator and Flink's high availability do it.
set -euo pipefail
shopt -s nullglob

newest=
for metadata in "$LIVETOWER_HOME"/checkpoints/*/chk-*/_metadata "$LIVETOWER_HOME"/savepoints/*/_metadata; do
    [[ -z $newest || $metadata -nt $newest ]] && newest=$metadata
done
state=${LIVETOWER_RESTORE:-${newest%/_metadata}}
echo "start-job: ${state:+going on from }${state:-no state in $LIVETOWER_HOME: a first start}" >&2
exec "$FLINK_HOME"/bin/standalone-job.sh start-foreground ${state:+--fromSavepoint "$state"} "$@"
