#!/bin/sh
# Makes this machine the node of @{region}: ./install.sh FILE CERTIFICATES
#
# FILE is the app's file, CERTIFICATES the directory that `lifeboat certs FILE --out CERTIFICATES` wrote. Needs root,
# /usr/local/bin/lifeboat@{needs}. Run it again after a change. With ROOT=DIR it prepares an image
# that is mounted there, and starts nothing.
set -eu
here=$(dirname "$(realpath "$0")")
file=$(realpath "$1")
certificates=$(realpath "$2")
root=$(realpath "${ROOT:-/}")
root=${root%/}

install -D -m 0644 "$here/lifeboat.sysusers" "$root/etc/sysusers.d/lifeboat.conf"
systemd-sysusers --root="$root/" "$root/etc/sysusers.d/lifeboat.conf"
group=$(sed -n 's/^lifeboat:[^:]*:\([0-9]*\):.*/\1/p' "$root/etc/group")

# The node takes renewed certificates within seconds, without a restart.
install -d -m 0750 -g "$group" "$root/etc/lifeboat" "$root/etc/lifeboat/tls"
install -m 0640 -g "$group" "$file" "$root/etc/lifeboat/lifeboat.yaml"
for name in ca.pem @{region}.pem @{region}.key; do
  install -m 0640 -g "$group" "$certificates/$name" "$root/etc/lifeboat/tls/$name"
done

@{etcd}install -D -m 0644 "$here/lifeboat.service" "$root/etc/systemd/system/lifeboat.service"
systemctl --root="$root/" enable @{units}
if [ -z "$root" ]; then
  systemctl daemon-reload
  systemctl restart @{units}
fi
