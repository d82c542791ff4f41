#!/bin/sh
# Installs the Debian packages listed in the named files, if any is missing. Services are not started.
#     tests/house/install.sh LIST...
set -eu
missing=
# A line: PACKAGE, or PACKAGE COMMAND where any other source of that command will do as well.
for list in "$@"; do
    while read -r package command; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' && continue
        [ -n "$command" ] && command -v "$command" >/dev/null && continue
        missing="$missing $package"
    done < "$list"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "missing packages (install them as root):$missing" >&2; exit 1; }
echo "installing:$missing" >&2
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    made=yes
fi
trap '[ -z "$made" ] || rm -f "$policy"' EXIT
export DEBIAN_FRONTEND=noninteractive
apt-get -q update >/dev/null || echo "apt-get update failed; trying what is known" >&2
# shellcheck disable=SC2086
apt-get -q -y install --no-install-recommends $missing >/dev/null
