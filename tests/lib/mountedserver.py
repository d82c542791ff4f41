"""A server in a mount namespace of its own, where a script has mounted something; $1 is its folder. Needs root."""
import subprocess

from . import server as posthorn


class MountedServer(posthorn.Server):
    def __init__(self, script, settings=None):
        self.script = f'set -e\n{script}shift; exec "$@"\n'
        super().__init__(settings)

    def command(self):
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", self.script, "sh", str(self.dir), *super().command()]

    def run(self, *words, stdin=""):
        """A command that sees the same."""
        done = subprocess.run(["nsenter", "-m", "-t", str(self.process.pid), *words], input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False)
        assert done.returncode == 0, (words, done.stdout)
        return done.stdout.decode()
