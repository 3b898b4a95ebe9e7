/* How many threads: the default of the process, container quotas, and processes made by fork. */
#ifndef WEFT_THREADS_H
#define WEFT_THREADS_H

/* The CPUs that the control groups of this process leave it, rounded up (cgroup v2 cpu.max, v1
 * cpu.cfs_quota_us; the smallest on the way to the root): 0 if there is no limit. `root` stands
 * before /proc and /sys: "" but in tests. */
int wf_cgroup_cpus(const char *root);

/* How many of the threads that are wanted may work: 1 in a process made by fork after a team had
 * been at work, whose threads the child does not have; libgomp would wait for them for ever. */
int wf_team_size(int wanted);

#endif
