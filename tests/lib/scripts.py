"""Scripts of users, by the verbs."""
from . import server as posthorn


def put(server, user, text, name="main", active=True):
    text = text if isinstance(text, bytes) else text.encode()
    posthorn.run_verb("sieve", "put", name, "-", "--user", user, "--data", server.data, stdin=text)
    if active:
        posthorn.run_verb("sieve", "activate", name, "--user", user, "--data", server.data)
