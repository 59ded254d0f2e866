# shellcheck shell=bash
# What every batch script here ends in, as `. slurm/body.sh zz.run WORDS`: the command in each of the job's tasks, and
# what becomes of the job's signals. `python -m zz.plan sbatch=true` prints it as part of its scripts.
#
# Each task makes its own share, then takes up what the others have not made yet; the first one scores and shows the
# tables. A task that dies, is preempted or runs out of time loses at most the slot under way: before the time limit
# (USR1, as --signal=B:USR1@120 has it two minutes before) the slot is finished and this job, or this element of an
# array and no other, put back into the queue, as it is when it is preempted. After TERM the slot is finished, and the
# job ends.
#
# PYTHON names another interpreter; ZZ_CONTAINER what comes before it, such as `apptainer exec --nv zz.sif`.
set -u
command=$1
shift

# What SLURM calls this job: 7, the element 7_3 of an array, the component 7+0 of a heterogeneous job. The plain number
# would be the whole array. Its own answer comes first: a job submitted from inside an array inherits SLURM_ARRAY_*.
job=$(timeout 10 squeue --noheader --jobs="$SLURM_JOB_ID" --format='%A %i' 2>/dev/null |
	awk -v id="$SLURM_JOB_ID" '$1 == id && $2 !~ /\[/ { print $2; exit }')
case $job in
'')
	job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
	job=${job:-${SLURM_HET_JOB_ID:-$SLURM_JOB_ID}${SLURM_HET_JOB_OFFSET:+"+$SLURM_HET_JOB_OFFSET"}}
	;;
*_*) ;;
*) unset "${!SLURM_ARRAY_@}" ;;
esac

requeue=
trap 'requeue=yes; scancel --signal=TERM "$job"' USR1 # to the tasks alone, which finish their slots
trap 'scancel --signal=TERM "$job"' TERM
srun --kill-on-bad-exit=0 ${SLURM_HET_SIZE:+--het-group=0-$((SLURM_HET_SIZE - 1))} \
	${ZZ_CONTAINER:-} "${PYTHON:-python}" -m "$command" "$@" &
step=$!
while :; do
	wait "$step" # which a signal ends, too
	code=$?
	[ -z "$requeue" ] && kill -0 "$step" 2>/dev/null || break
done
# in the grace time of a preemption the tasks have TERM; SLURM requeues the job by itself only if it outlasts that time
if [ -z "$requeue" ] && [ "$code" -ne 0 ]; then
	scontrol --oneliner show job "$job" 2>/dev/null | grep -q ' Requeue=1 .*PreemptTime=[0-9]' && requeue=yes
fi
if [ -n "$requeue" ]; then
	# a slot that takes too long is given up, for past its time limit no job is requeued
	for _ in {1..100}; do
		kill -0 "$step" 2>/dev/null || break
		sleep 1
	done
	scontrol requeue "${job%+*}" # a heterogeneous job is requeued as a whole, by its first component
fi
exit "$code"
