#!/bin/sh
# Makes this machine the node of @{region}: ./install.sh FILE@{argument}
#
# FILE is the app's file@{explained}. Needs root,
# /usr/local/bin/lifeboat@{needs}. Run it again after a change. With ROOT=DIR it prepares an image
# that is mounted there, and starts nothing.
set -eu
here=$(dirname "$(realpath "$0")")
file=$(realpath "$1")
@{taken}root=$(realpath "${ROOT:-/}")
root=${root%/}

install -D -m 0644 "$here/lifeboat.sysusers" "$root/etc/sysusers.d/lifeboat.conf"
systemd-sysusers --root="$root/" "$root/etc/sysusers.d/lifeboat.conf"
group=$(sed -n 's/^lifeboat:[^:]*:\([0-9]*\):.*/\1/p' "$root/etc/group")

install -d -m 0750 -g "$group" "$root/etc/lifeboat" "$root/etc/lifeboat/tls"
install -m 0640 -g "$group" "$file" "$root/etc/lifeboat/lifeboat.yaml"
@{copied}
@{etcd}install -D -m 0644 "$here/lifeboat.service" "$root/etc/systemd/system/lifeboat.service"
systemctl --root="$root/" enable @{units}
if [ -z "$root" ]; then
  systemctl daemon-reload
  systemctl restart @{units}
fi
