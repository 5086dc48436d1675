"""What the bench asks of the machine: settings, free ports, and a process tree's own accounting."""

import contextlib
import os
import platform
import re
import signal
import socket
import subprocess
from pathlib import Path

CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")
TICK = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """Something that makes the figures worthless."""


@contextlib.contextmanager
def cubic():
    """Sets TCP congestion control to cubic and puts back what was there, whatever happens.

    BBR paces on loopback and shifts bulk and latency figures two- to threefold.
    """
    before = CONGESTION.read_text().strip()

    def stop(number, _frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    try:
        if before != "cubic":
            try:
                CONGESTION.write_text("cubic")
            except OSError as error:
                raise BenchError(f"cannot set congestion control to cubic (root?): {error}") from error
        yield before
    finally:
        if before != "cubic":
            CONGESTION.write_text(before)


def prove_free(port):
    """Fails when anything listens on the port, a socket with SO_REUSEPORT included."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError as error:
            raise BenchError(f"port {port} is not free: {error}") from error


def listeners(port):
    """Inodes of the sockets that listen on a port of any local address."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == "0A" and int(parts[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(parts[9])
    return inodes


class Tree:
    """A process and all its descendants, with what the kernel counted for them."""

    def __init__(self, root):
        self.root = root

    def pids(self):
        found, queue = [], [self.root]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                queue.extend(int(child) for child in children.read_text().split())
        return sorted(set(found))

    def cpu_ns(self):
        """Nanoseconds on a CPU: the scheduler's exact count, over all threads."""
        total = 0
        for pid in self.pids():
            for stat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    total += int(stat.read_text().split()[0])
        return total

    def ticks(self):
        """(user, system) in clock ticks: coarse, used only to split what cpu_ns counted."""
        user = system = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            user += int(fields[11])
            system += int(fields[12])
        return user, system

    def memory(self):
        """(resident, proportional) bytes."""
        resident = proportional = 0
        for pid in self.pids():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            resident += 1024 * int(re.search(r"^Rss:\s+(\d+)", text, re.M)[1])
            proportional += 1024 * int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
        return resident, proportional

    def owns(self, inodes):
        """Whether every one of these sockets is open in this tree."""
        held = set()
        for pid in self.pids():
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry))
                    if match:
                        held.add(match[1])
        return inodes <= held


def core_times(core):
    """(all, idle, steal) ticks of one core."""
    for line in Path("/proc/stat").read_text().splitlines():
        parts = line.split()
        if parts[0] == f"cpu{core}":
            values = [int(value) for value in parts[1:9]]
            return sum(values), values[3] + values[4], values[7]
    raise BenchError(f"there is no core {core}")


def spawn(argv, core, directory, **options):
    """Starts a program pinned to one core."""
    return subprocess.Popen(
        ["taskset", "-c", str(core), *map(str, argv)],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        **options,
    )


def stop(process):
    """Ends a program that we started: asks first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def facts():
    """What a reader needs to know of the machine."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    total = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]
    hypervisor = "hypervisor" in Path("/proc/cpuinfo").read_text()
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "virtual": hypervisor,
        "memory_gib": round(int(total) / 1024 / 1024, 1),
        "kernel": platform.release(),
        "machine": platform.machine(),
    }
