"""A machine of namespaces with systemd as its first process: the shipped unit as it is run, not as it is read.

Its root is an overlay of this machine's, its network is its own. Needs root, and a cgroup2 file system that is mounted."""
import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

from lib import scratch
from lib.server import ROOT, binary, runs

# The script becomes the first process. $1: the folder, $2: what its root is laid over, $3: that process.
BOOT = r"""
set -eu
space=$1 lower=$2 root=$1/space/root
mkdir "$space/space"
mount -t tmpfs -o mode=755 tmpfs "$space/space"
mkdir "$space/space/up" "$space/space/work" "$root"
mount -t overlay -o "lowerdir=$lower,upperdir=$space/space/up,workdir=$space/space/work" overlay "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
done
ln -s null "$root/dev/console"
ln -s pts/ptmx "$root/dev/ptmx"
mkdir "$root/dev/shm"
for folder in run tmp var/lib/systemd etc/systemd/system; do mount -t tmpfs -o mode=755 tmpfs "$root/$folder"; done
chmod 1777 "$root/tmp"
for folder in "$root"/lib/systemd/system/*.target.wants; do mount -t tmpfs tmpfs "$folder"; done
. "$space/furnish"
ip link set lo up
cd "$root"
pivot_root . mnt
umount -l /mnt
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin $3
"""
SYSTEMD = "/lib/systemd/systemd --system --unit=quiet.target --log-target=console --log-level=info --show-status=no --dump-core=no " \
    "--crash-reboot=no"
# What is put into the root before that.
FURNISH = rf"""
server={binary()} dist={ROOT}/dist
cp "$server" "$root/usr/bin/posthorn"
mkdir -p "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d" "$root/run/systemd/system"
cp "$dist/sysusers.conf" "$root/usr/lib/sysusers.d/posthorn.conf"
cp "$dist/tmpfiles.conf" "$root/usr/lib/tmpfiles.d/posthorn.conf"
cp -r "$dist"/*.socket "$space"/units/* "$root/run/systemd/system/"
chroot "$root" systemd-sysusers posthorn.conf
chroot "$root" systemd-tmpfiles --create posthorn.conf
"""
QUIET = "[Unit]\nDefaultDependencies=no\n"
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def unit_text():
    text = (ROOT / "dist/posthorn.service.in").read_text()
    return text.replace("@bindir@", "/usr/bin").replace("@docdir@", "/usr/share/doc")


def cgroup_root():
    found = re.search(r"^\S+ (\S+) cgroup2 \S*\brw\b", pathlib.Path("/proc/mounts").read_text(), re.M)
    return pathlib.Path(found[1]) if found else None


def missing():
    """Why no such machine can be had here; empty where it can."""
    if os.getuid() != 0:
        return "needs root"
    if not cgroup_root():
        return "no cgroup2 file system is mounted"
    probe = subprocess.run(["unshare", "-m", "-p", "-f", "-n", "-C", "-u", "-i", "true"], stderr=subprocess.PIPE, check=False)
    return probe.stderr.decode()


class Machine:
    lower = "/"        # the folder that its root begins with
    furnish = FURNISH  # shell
    first = SYSTEMD    # the first process

    def __init__(self, unit=None, more=""):
        """unit: instead of the shipped one; more: a drop-in for it."""
        self.dir = scratch.folder("machine")
        self.cgroup = cgroup_root() / self.dir.name
        self.cgroup.mkdir()
        self.write_units(unit or unit_text(), more)
        (self.dir / "boot").write_text(f"echo $$ > {self.cgroup}/cgroup.procs\n"
                                       "exec setpriv --pdeathsig KILL unshare -m -p -f --kill-child -u -i -n -C --propagation private "
                                       f"sh {self.dir}/script {self.dir} {self.lower} '{self.first}'\n")
        (self.dir / "furnish").write_text(self.furnish)
        (self.dir / "script").write_text(BOOT)
        with open(self.dir / "systemd", "wb") as log:
            self.outer = subprocess.Popen(["sh", str(self.dir / "boot")], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          start_new_session=True)
        try:
            self.await_systemd()
        except BaseException:
            self.close()
            raise

    def write_units(self, unit, more):
        units = self.dir / "units"
        (units / "posthorn.service.d").mkdir(parents=True)
        (units / "posthorn.service").write_text(unit)
        (units / "posthorn.service.d/log.conf").write_text(
            "[Service]\nStandardOutput=append:/run/log-of-posthorn\nStandardError=append:/run/log-of-posthorn\n" + more)
        (units / "quiet.target").write_text(QUIET)

    def await_systemd(self):
        end = time.monotonic() + 60
        while not (self.pid and self.is_up()):
            if self.outer.poll() is not None or time.monotonic() > end:
                raise RuntimeError("systemd did not come up:\n" + self.said())
            time.sleep(0.05)

    def is_up(self):
        return (self.root / "run/systemd/private").exists()

    @property
    def pid(self):
        """The first process's, as seen from here; 0 while there is none."""
        try:
            words = pathlib.Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children").read_text().split()
            return int(words[0]) if words and \
                pathlib.Path(f"/proc/{words[0]}/comm").read_text().strip() == pathlib.Path(self.first.split()[0]).name else 0
        except OSError:
            return 0

    @property
    def root(self):
        return pathlib.Path(f"/proc/{self.pid}/root")

    def said(self):
        log = self.root / "run/log-of-posthorn"
        return (self.dir / "systemd").read_text(errors="replace")[-3000:] + \
            (log.read_text(errors="replace")[-3000:] if self.pid and log.exists() else "")

    def run(self, *words, stdin=b"", timeout=180):
        """A command in the machine; its output. Raises when it fails."""
        done = subprocess.run(["nsenter", "-t", str(self.pid), "-a", *words], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, check=False)
        text = done.stdout.decode(errors="replace")
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.returncode}\n{text}\n{self.said()}")
        return text

    def show(self, name, unit="posthorn.service"):
        return self.run("systemctl", "show", "-P", name, unit).strip()

    def read(self, path):
        return (self.root / path[1:]).read_text()

    def stat(self, path):
        """Mode and owner."""
        return self.run("stat", "-L", "-c", "%A %U:%G", path).strip()

    def inside(self, function, *arguments, **more):
        """Calls it in the machine's network; what it opens stays there."""
        result = []

        def call():
            with open(f"/proc/{self.pid}/ns/net") as namespace:
                if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    result.append(OSError(ctypes.get_errno(), "setns"))
                    return
            try:
                result.append(function(*arguments, **more))
            except Exception as error:  # raised again in the caller's thread
                result.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]

    def close(self):
        """Ends systemd, and with it everything in its namespace."""
        inner = self.pid
        if self.outer.poll() is None:
            os.kill(self.outer.pid, signal.SIGKILL)
        self.outer.wait()
        end = time.monotonic() + 60
        while (inner and runs(inner)) or not self.remove_cgroup():
            assert time.monotonic() < end, "the machine does not end"
            time.sleep(0.05)
        shutil.rmtree(self.dir)

    def remove_cgroup(self):
        try:
            for folder, _, _ in os.walk(self.cgroup, topdown=False):
                os.rmdir(folder)
            return True
        except OSError:
            return False
