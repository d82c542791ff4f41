"""Whether this run is the long form: POSTHORN_LONG=1, or ./check --long."""
import os

LONG = bool(os.environ.get("POSTHORN_LONG"))
