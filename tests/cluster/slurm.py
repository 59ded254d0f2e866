"""A real SLURM of two nodes on this machine, in a folder: its own munge, ports, configuration and logs."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.apt import asked_for, lacking

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
DAEMONS = ("munged", "slurmctld", "slurmd")
CONF = """\
ClusterName=zz
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
KillWait=5
MinJobAge=600
ReturnToService=2
SchedulerParameters=sched_interval=2,bf_interval=2,bf_hetjob_immediate,batch_sched_delay=0,requeue_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MaxArraySize=64
GresTypes=gpu
NodeName=DEFAULT CPUs=2 RealMemory=4096 Gres=gpu:4 State=UNKNOWN
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{second}]
PartitionName=low Nodes=ALL Default=YES State=UP PriorityTier=1 GraceTime=30 MaxTime=8:00:00
PartitionName=high Nodes=ALL State=UP PriorityTier=10 PreemptMode=OFF
"""
GRES = "NodeName=n[1-2] Name=gpu File=/dev/tty[0-3]\n"  # devices that are there and that no test opens


def why_not() -> str:
    """Why there can be no cluster here; empty if there can, its packages installed if they were not."""
    if os.geteuid() != 0:
        return "a cluster is started by root alone"
    if not all(map(shutil.which, DAEMONS)) and not asked_for("ZZ_TEST_CLUSTER"):
        return f"{', '.join(PACKAGES)} are not here; ZZ_TEST_CLUSTER=1 installs them by apt"
    return lacking(DAEMONS, PACKAGES)


class Cluster:
    """Started on entry; on exit its jobs are cancelled and its daemons end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        self.environment |= {"SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self) -> "Cluster":
        control, first = _free(1), _free(2)
        (self.folder / "state").mkdir()
        text = CONF.format(
            host=socket.gethostname(), folder=self.folder, control=control, first=first, second=first + 1
        )
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text(GRES)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        at = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        try:
            # the temporary folder is this user's own, whatever the folders above it allow
            self("munged", "--force", *(f"--{name}={self.folder}/munge.{end}" for name, end in at.items()))
            self("slurmctld")
            for node in ("n1", "n2"):
                (self.folder / f"spool-{node}").mkdir()
                self("slurmd", "-N", node)
            self.until(lambda: self("sinfo", "--noheader", "--format=%T").split() == ["idle"], 60)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def __call__(self, *words: str | Path, **environment: str) -> str:
        """What one of its commands says. Raises AssertionError where it fails."""
        done = subprocess.run(
            [*map(str, words)],
            env=self.environment | environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, (words, done.stdout)
        return done.stdout.strip()

    def states(self, job: str) -> dict[str, str]:
        """The state of each element of a job: RUNNING, COMPLETED, ...; ended ones too."""
        said = self("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%i %T")
        return dict(line.split() for line in said.splitlines())

    def until(self, condition, seconds: float) -> None:
        """Wait for something. Raises AssertionError with the logs where it does not come."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(f"== {path.name}\n{path.read_text()}" for path in sorted(self.folder.glob("*.log")))
                raise AssertionError(logs)
            time.sleep(0.2)

    def stop(self) -> None:
        """Cancel all jobs and end all daemons, by their own numbers."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self("scancel", "--user=root")
            self.until(lambda: not self("squeue", "--noheader"), 30)
        pids = [int(path.read_text()) for path in self.folder.glob("*.pid")]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + 10
            while any(map(_runs, pids)) and time.monotonic() < deadline:
                time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _free(n: int) -> int:
    """The first of n ports that are free and follow each other."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for port in range(first + 1, first + n):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
