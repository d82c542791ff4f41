"""Debian packages that cannot be installed beside what is: unpacked into a folder of their own, with the libraries they lack."""
import fcntl
import re
import subprocess

DEPENDS = re.compile(r"^ [ |](?:Pre)?Depends: (lib[^\s<]+)", re.M)


def said(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def installed(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout == "installed"


def wanted(packages):
    """The packages, and the libraries they need that this machine lacks."""
    found, left = [], list(packages)
    while left:
        package = left.pop()
        if package not in found and not installed(package):
            found.append(package)
            left += DEPENDS.findall(said("apt-cache", "depends", package))
    return found


def unpack(folder, packages, with_libraries=True):
    """The folder. Once: later runs need no network. The version of the first is kept in `done`."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be at it
        if (folder / "done").exists():
            return folder
        names = wanted(packages) if with_libraries else packages
        said("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *names, cwd=folder)
        main = next(folder.glob(f"{packages[0]}_*.deb")).name.split("_")[1]
        for package in folder.glob("*.deb"):
            said("dpkg", "-x", package, folder / "root")
            package.unlink()
        (folder / "done").write_text(main)
    return folder


def libraries(folder):
    """For LD_LIBRARY_PATH."""
    own = folder / "root/usr/lib"
    return ":".join(map(str, (*own.glob("*-linux-gnu"), own)))
