# SPDX-License-Identifier: Apache-2.0
"""A real Slurm on this machine: munged, slurmctld and one slurmd for each made-up node, in a folder and on ports of
their own. Needs no root, no accounting and no cgroups; tells a test what Slurm knows. Standard library only.

Run as a program it starts such a cluster, prints its SLURM_CONF, and stops it when its standard input ends."""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import service_support as support

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")

CONFIG = """\
ClusterName=anamnesis
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
CredType=cred/munge
StateSaveLocation={root}/slurmctld
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdTimeout=10
KillWait={kill_wait}
MinJobAge={min_job_age}
OverTimeLimit=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
"""


def path_of(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")


def absent():
    """The programs of Slurm that are not on this machine."""
    return [program for program in PROGRAMS if path_of(program) is None]


def free_ports(count):
    """Ports that nobody holds now: all bound at once, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def processes_with(*marks):
    """The pids of other processes whose environment holds all of these bytes."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "environ").read_bytes()
        except OSError:
            continue
        if all(mark in words for mark in marks) and int(path.name) != os.getpid():
            found.append(int(path.name))
    return found


def kill_all(find):
    def none_left():
        left = find()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not left
    support.wait_until(none_left, "no process of the cluster is left", 20)


def bury(root):
    """Ends what lives in that cluster's name, also the coordinators that use it, and removes its folder."""
    try:
        kill_all(lambda: processes_with(f"{root}/slurm.conf\0".encode()))
    finally:
        shutil.rmtree(root, ignore_errors=True)


class Slurm:
    """A cluster with its daemons. `close` leaves no process and no file, whatever has happened before."""

    def __init__(self, nodes=2, cpus=4, kill_wait=5, min_job_age=300):
        # Short: a Unix socket's path has a limit. Readable by others: munge refuses a folder that others may write.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="slurm-"))
        self.root.chmod(0o755)
        self.nodes = [f"n{number}" for number in range(nodes)]
        self.daemons = {}
        self.environment = dict(os.environ, SLURM_CONF=str(self.root / "slurm.conf"))
        for folder in ("munge", "slurmctld"):
            (self.root / folder).mkdir(mode=0o755)
        key = self.root / "munge" / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        host = socket.gethostname().split(".")[0]
        ports = free_ports(nodes + 1)
        lines = [f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=4000"
                 for name, port in zip(self.nodes, ports[1:])]
        (self.root / "slurm.conf").write_text(CONFIG.format(
            host=host, user=pwd.getpwuid(os.getuid()).pw_name, port=ports[0], root=self.root, kill_wait=kill_wait,
            min_job_age=min_job_age, nodes="\n".join(lines)))

    def start(self):
        # Its standard input ends with this process, however that one ends: then it takes all down.
        self.daemons["undertaker"] = subprocess.Popen([sys.executable, __file__, "--bury", self.root],
                                                      stdin=subprocess.PIPE, start_new_session=True)
        munge = self.root / "munge"
        self.daemon("munged", "--foreground", f"--key-file={munge}/key", f"--socket={munge}/socket",
                    f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed", "--num-threads=2")
        support.wait_until((munge / "socket").exists, "munged listens")
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        support.wait_until(lambda: self.node_states() == ["idle"] * len(self.nodes), "every node is idle")

    def daemon(self, program, *words, name=None):
        """Starts it. It ends with this process, however that one ends."""
        with open(self.root / "daemons.log", "ab") as log:
            self.daemons[name or program] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", path_of(program), *words], env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def start_controller(self):
        self.daemon("slurmctld", "-D")
        support.wait_until(lambda: self.run("scontrol", "ping").returncode == 0, "slurmctld answers")

    def stop_controller(self, how=signal.SIGKILL):
        self.end_daemon("slurmctld", how)

    def forget_everything(self):
        """While slurmctld is stopped: it starts with no job."""
        shutil.rmtree(self.root / "slurmctld")
        (self.root / "slurmctld").mkdir(mode=0o755)

    def start_node(self, node):
        self.daemon("slurmd", "-D", "-N", node, name=node)

    def end_daemon(self, name, how=signal.SIGKILL):
        process = self.daemons.pop(name, None)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def lose_node(self, node):
        """The machine goes away: its daemon and everything that it started, at once."""
        self.end_daemon(node)
        kill_all(lambda: processes_with(f"{self.root}/slurm.conf\0".encode(), f"SLURMD_NODENAME={node}\0".encode()))

    def run(self, program, *words, timeout=30):
        return subprocess.run([program, *map(str, words)], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout)

    def ask(self, program, *words):
        done = self.run(program, *words)
        if done.returncode != 0:
            raise AssertionError(f"{program} {words}: exit {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def node_states(self):
        done = self.run("sinfo", "--noheader", "--Node", "--partition=main", "--format=%T")
        return done.stdout.split() if done.returncode == 0 else []

    def jobs(self, *words):
        """Every job that Slurm knows, by number: its fields as `scontrol show job` names them."""
        found = {}
        for line in self.ask("scontrol", "--oneliner", "show", "job", *words).splitlines():
            fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if "JobId" in fields:
                found[int(fields["JobId"])] = fields
        return found

    def processes(self):
        """The pids of what this cluster runs: daemons, the watchers of steps, and what jobs have started."""
        return processes_with(f"{self.root}/slurm.conf\0".encode())

    def processes_of(self, job):
        """Those of one Slurm job."""
        return processes_with(f"{self.root}/slurm.conf\0".encode(), f"SLURM_JOB_ID={job}\0".encode())

    def close(self):
        for name in reversed(list(self.daemons)):
            self.end_daemon(name)
        bury(self.root)

    def logs(self, lines=40):
        """The ends of the daemons' logs, for a test that failed."""
        return "\n".join(f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
                         for path in sorted(self.root.glob("*.log")))


def ended(fields):
    """The state of a job that has ended; None of one that has not."""
    state = fields["JobState"]
    return None if state in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED") else state


class SlurmService(support.Service):
    """A coordinator whose jobs run in that cluster."""

    def __init__(self, cluster, slots=4, ranks_per_node=2, engine=("poll=1",)):
        super().__init__(slots=slots)
        self.cluster = cluster
        self.environment["SLURM_CONF"] = cluster.environment["SLURM_CONF"]
        self.options = ["--launcher", "slurm", "--worker-listen", "127.0.0.1:0", "--ranks-per-node", ranks_per_node,
                        "--interface", "lo", *(word for pair in engine for word in ("--engine", pair))]

    def up(self, *options, wait=True):
        super().up(*self.options, *options, wait=wait)
        if wait:  # the next one is where its workers look for it
            self.options[self.options.index("--worker-listen") + 1] = self.note()["worker_address"]

    def slurm_jobs(self, job):
        """The Slurm jobs of all attempts of a job, by number."""
        identity = (self.data_dir / "slurm-identity").read_text().strip()
        start = f"anamnesis-{job.removeprefix('jobs/')}-"
        return {number: fields for number, fields in self.cluster.jobs().items()
                if fields["JobName"].startswith(start) and fields["JobName"].endswith(identity)}

    def slurm_job(self, job):
        """The number of its last one; 0 for none."""
        return max(self.slurm_jobs(job), default=0)


def main():
    if sys.argv[1:2] == ["--bury"]:
        sys.stdin.read()
        return bury(sys.argv[2])
    missing = absent()
    if missing:
        sys.exit(f"error: not on this machine: {', '.join(missing)} (apt-get install slurmctld slurmd slurm-client munge)")
    cluster = Slurm()
    try:
        cluster.start()
        print(cluster.environment["SLURM_CONF"], flush=True)
        sys.stdin.read()
    finally:
        cluster.close()


if __name__ == "__main__":
    main()
