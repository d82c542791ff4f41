"""User databases of others: a passwd-file, SQLite, PostgreSQL, slapd, PAM; each in a folder of its own, to be filled, lost and found again."""
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import time

from . import scratch
from .peers import free_ports, wait_port


class Base:
    """What the tests ask of each: settings, put, remove, lose, find."""
    kind = None
    lost_by = ("gone",)  # ways in which it can be lost

    def __init__(self):
        self.dir = scratch.folder(f"users-{self.kind}")
        self.settings = {"user_databases": ["own", self.kind]}

    def stop(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class File(Base):
    kind = "passwd-file"
    hashed = "{PLAIN}"
    lost_by = ("gone", "unreadable")

    def __init__(self):
        super().__init__()
        self.path = self.dir / "passwd"
        self.rows = {}
        self.write()
        self.settings["userdb_passwd_file"] = self.path

    def write(self, more=""):
        fresh = self.dir / "fresh"
        fresh.write_text("".join(f"{name}:{row}\n" for name, row in self.rows.items()) + more)
        os.utime(fresh, (time.time() - 1,) * 2)  # one that was written at this moment may be written on
        fresh.rename(self.path)

    def put(self, name, password, disabled=False, networks=None, groups=None):
        extra = " ".join([*(["nologin"] if disabled else []), *([f"allow_nets={networks}"] if networks else [])])
        self.rows[name] = f"{self.hashed}{password}::::::{extra}"
        self.write()

    def put_hash(self, name, text):
        self.rows[name] = text
        self.write()

    def set_quota(self, name, rule):
        self.rows[name] = self.rows[name].split(" userdb_quota_rule=")[0] + f" userdb_quota_rule={rule}"
        self.write()

    def put_many(self, names):
        self.rows |= {name: self.hashed + "x" for name in names}
        self.write()

    def remove_many(self, names):
        self.rows = {name: row for name, row in self.rows.items() if name not in names}
        self.write()

    def remove(self, name):
        del self.rows[name]
        self.write()

    def lose(self, how):
        self.path.rename(self.dir / "away")
        if how == "unreadable":
            self.path.mkdir()

    def find(self, how):
        if how == "unreadable":
            self.path.rmdir()
        (self.dir / "away").rename(self.path)


class Sql(Base):
    kind = "sql"
    table = ("CREATE TABLE mailuser (login TEXT PRIMARY KEY, pw TEXT, off BOOLEAN, nets TEXT, teams TEXT, rule TEXT)")
    query = "SELECT pw AS password, off AS disabled, nets AS networks, teams AS groups, rule AS quota_rule FROM mailuser WHERE login = '%u'"

    def run(self, text, *values):
        raise NotImplementedError

    def put(self, name, password, disabled=False, networks=None, groups=None):
        self.put_hash(name, "{PLAIN}" + password, disabled, networks, groups)

    def put_hash(self, name, text, disabled=False, networks=None, groups=None):
        self.remove(name)
        self.run("INSERT INTO mailuser (login, pw, off, nets, teams) VALUES (%s, %s, %s, %s, %s)", name, text, disabled, networks, groups)

    def remove(self, name):
        self.run("DELETE FROM mailuser WHERE login = %s", name)

    def regroup(self, name, groups):
        """In one step: put has them gone for a moment."""
        self.run("UPDATE mailuser SET teams = %s WHERE login = %s", groups, name)

    def set_quota(self, name, rule):
        self.run("UPDATE mailuser SET rule = %s WHERE login = %s", rule, name)

    def put_many(self, names):
        self.run("INSERT INTO mailuser (login, pw) VALUES " + ", ".join(f"('{name}', '{{PLAIN}}x')" for name in names))

    def remove_many(self, names):
        self.run("DELETE FROM mailuser WHERE login IN (" + ", ".join(f"'{name}'" for name in names) + ")")


class Sqlite(Sql):
    lost_by = ("gone", "locked")

    def __init__(self):
        super().__init__()
        self.path = self.dir / "users.sqlite"
        self.held = None
        self.run(self.table)
        self.path.chmod(0o644)
        self.settings |= {"userdb_sql_connection": f"sqlite:{self.path}", "userdb_sql_query": self.query,
                          "userdb_sql_iterate_query": "SELECT login AS username, NULL AS domain, pw FROM mailuser"}

    def run(self, text, *values):
        db = sqlite3.connect(self.path)
        with db:
            db.execute(text.replace("%s", "?"), values)
        db.close()

    def lose(self, how):
        if how == "gone":
            self.path.rename(self.dir / "away")
        else:
            self.held = sqlite3.connect(self.path, isolation_level=None)
            self.held.execute("BEGIN EXCLUSIVE")

    def find(self, how):
        if how == "gone":
            (self.dir / "away").rename(self.path)
        else:
            self.held.execute("ROLLBACK")
            self.held.close()


def as_nobody(words):
    """Servers that do not want to be root."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *words] if os.getuid() == 0 else words


class Postgres(Sql):
    lost_by = ("killed", "stopped")

    def __init__(self):
        super().__init__()
        self.bin = max(pathlib.Path("/usr/lib/postgresql").iterdir()) / "bin"
        self.port, self.process = free_ports(1)[0], None
        if os.getuid() == 0:
            shutil.chown(self.dir, "nobody", "nogroup")
        password = self.dir / "password"
        password.write_text("s3cret\n")
        password.chmod(0o644)
        self.quiet([self.bin / "initdb", "-D", self.dir / "data", "-U", "posthorn", "--no-sync", "--locale=C", "-E", "UTF8",
                    "-A", "scram-sha-256", f"--pwfile={password}"])
        self.start()
        self.run(self.table)
        self.settings |= {"userdb_sql_connection": f"host=127.0.0.1 port={self.port} dbname=postgres user=posthorn",
                          "userdb_sql_password": "s3cret", "userdb_sql_query": self.query,
                          "userdb_sql_iterate_query": "SELECT pw, login AS user FROM mailuser"}

    def quiet(self, words):
        done = subprocess.run(as_nobody(words), cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode()

    def start(self):
        (self.dir / "data/postmaster.pid").unlink(missing_ok=True)
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(
                as_nobody([self.bin / "postgres", "-D", self.dir / "data", "-p", str(self.port), "-k", self.dir, "-F",
                           "-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=8MB", "-c", "autovacuum=off"]),
                cwd=self.dir, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.run("SELECT 1")
                return
            except AssertionError:
                assert time.monotonic() < deadline and self.process.poll() is None, (self.dir / "log").read_text()
                time.sleep(0.05)

    def run(self, text, *values):
        literals = ["NULL" if v is None else str(v).lower() if isinstance(v, bool) else "'" + v.replace("'", "''") + "'" for v in values]
        done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "posthorn",
                               "-d", "postgres", "-c", text % tuple(literals)], env={**os.environ, "PGPASSWORD": "s3cret"},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode()

    def signal(self, number):
        os.killpg(self.process.pid, number)  # its own session: the server and what it has started
        for entry in pathlib.Path("/proc").iterdir():  # each of those leads a session of its own
            try:
                if entry.name.isdigit() and int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == self.process.pid:
                    os.kill(int(entry.name), number)
            except OSError:
                pass

    def lose(self, how):
        self.signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
        if how == "killed":
            self.process.wait()

    def find(self, how):
        if how == "killed":
            time.sleep(0.1)
            self.start()
        else:
            self.signal(signal.SIGCONT)

    def stop(self):
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()
        super().stop()


class Ldap(Base):
    """slapd, with bind as the user."""
    kind = "ldap"
    lost_by = ("killed", "stopped")
    suffix = "dc=example,dc=org"

    def __init__(self):
        super().__init__()
        self.port, self.process = free_ports(1)[0], None
        (self.dir / "db").mkdir()
        (self.dir / "slapd.conf").write_text(f"""
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {self.dir}/pid
database mdb
maxsize 10485760
suffix "{self.suffix}"
rootdn "cn=admin,{self.suffix}"
rootpw s3cret
directory {self.dir}/db
dbnosync
limits dn="cn=posthorn,{self.suffix}" size.prtotal=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by dn="cn=posthorn,{self.suffix}" read by * none
""")
        self.start()
        self.admin("ldapadd", f"""dn: {self.suffix}
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: cn=posthorn,{self.suffix}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: posthorn
userPassword: s3rvice
""")
        self.settings |= {"userdb_ldap_uri": f"ldap://127.0.0.1:{self.port}", "userdb_ldap_starttls": False,
                          "userdb_ldap_base": self.suffix, "userdb_ldap_bind_dn": f"cn=posthorn,{self.suffix}",
                          "userdb_ldap_bind_password": "s3rvice", "userdb_ldap_filter": "(&(objectClass=inetOrgPerson)(|(uid=%u)(telephoneNumber=%u)))",
                          "userdb_ldap_iterate_filter": "(objectClass=inetOrgPerson)",
                          "userdb_ldap_attributes": ["disabled=employeeType", "networks=roomNumber", "groups=ou", "quota_rule=postalCode"]}

    def start(self):
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(["/usr/sbin/slapd", "-d", "0", "-f", self.dir / "slapd.conf", "-h", f"ldap://127.0.0.1:{self.port}"],
                                            stdout=log, stderr=log, cwd=self.dir)
        wait_port(self.port, self.process, 60)

    def admin(self, tool, ldif):
        done = subprocess.run([tool, "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", f"cn=admin,{self.suffix}", "-w", "s3cret"],
                              input=ldif.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode()

    def put(self, name, password, disabled=False, networks=None, groups=None):
        self.remove(name)
        more = ("employeeType: TRUE\n" if disabled else "") + (f"roomNumber: {networks}\n" if networks else "")
        more += "".join(f"ou: {group}\n" for group in (groups or "").split())
        more += f"telephoneNumber: {name}\n" if name.isdigit() else ""  # compared without spaces and hyphens
        self.admin("ldapadd", f"dn: uid={name},{self.suffix}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
                              f"userPassword: {password}\n{more}")

    def remove(self, name):
        subprocess.run(["ldapdelete", "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", f"cn=admin,{self.suffix}", "-w", "s3cret",
                        f"uid={name},{self.suffix}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def regroup(self, name, groups):
        """In one step: put has them gone for a moment."""
        self.admin("ldapmodify", f"dn: uid={name},{self.suffix}\nchangetype: modify\nreplace: ou\n" + "".join(f"ou: {g}\n" for g in groups.split()))

    def set_quota(self, name, rule):
        self.admin("ldapmodify", f"dn: uid={name},{self.suffix}\nchangetype: modify\nreplace: postalCode\n" + (f"postalCode: {rule}\n" if rule else ""))

    def put_many(self, names):
        self.admin("ldapadd", "\n".join(f"dn: uid={name},{self.suffix}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n" for name in names))

    def remove_many(self, names):
        self.admin("ldapmodify", "\n".join(f"dn: uid={name},{self.suffix}\nchangetype: delete\n" for name in names))

    def lose(self, how):
        self.process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
        if how == "killed":
            self.process.wait()

    def find(self, how):
        if how == "killed":
            self.start()
        else:
            self.process.send_signal(signal.SIGCONT)

    def stop(self):
        self.process.kill()
        self.process.wait()
        super().stop()


class Pam(Base):
    """A module of our own, in a service folder of our own; the name service is a file."""
    kind = "pam"

    def __init__(self, named=True):
        super().__init__()
        self.rows, self.named = {}, named
        module, services = self.dir / "pam_rules.so", self.dir / "services"
        source = pathlib.Path(__file__).with_name("pam_rules.c")
        subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", module, source, "-lpam"], check=True)
        services.mkdir()
        rule = f"required {module} {self.dir}/rules {self.dir}/seen\n"
        (services / "mailtest").write_text(f"auth {rule}account {rule}")
        self.settings |= {"userdb_pam_service": "mailtest", "test_pam_confdir": services}
        if named:
            self.settings["test_pam_passwd"] = self.dir / "passwd"
        self.write()

    def write(self):
        texts = {"rules": "".join(f"{name}:{row}\n" for name, row in self.rows.items()),
                 "passwd": "".join(f"{name}:x:2000:2000::/nonexistent:/bin/false\n" for name in self.rows)}
        for name, text in texts.items():
            (self.dir / "fresh").write_text(text)
            (self.dir / "fresh").rename(self.dir / name)

    def rule(self, name, password, auth=0, account=0, how=""):
        self.rows[name] = f"{password}:{auth}:{account}:{how}"
        self.write()

    def put(self, name, password, disabled=False, networks=None, groups=None):
        self.rule(name, password, account=13 if disabled else 0)  # PAM_ACCT_EXPIRED

    def remove(self, name):
        del self.rows[name]
        self.write()

    def seen(self):
        path = self.dir / "seen"
        return path.read_text().splitlines() if path.exists() else []

    def lose(self, how):
        (self.dir / "passwd").rename(self.dir / "away")

    def find(self, how):
        (self.dir / "away").rename(self.dir / "passwd")
