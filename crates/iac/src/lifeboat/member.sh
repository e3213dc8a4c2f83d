#!/bin/sh
# Before etcd starts: does this member begin a new cluster, or return to one that is there? With etcd.env in the environment.
#
# A machine that was replaced has an empty disk, and the others still count what it was before: that leaves first. Beside
# members that answer a new cluster is never begun; two of three that lost their disks at once stay out, for a person to see.
# It fails while the others are not ready for a change of members, and is run again.
set -eu

if [ -d "$ETCD_DATA_DIR/member" ]; then
  state=existing
elif list=$(etcdctl member list); then
  id=$(echo "$list" | grep -F "$ETCD_INITIAL_ADVERTISE_PEER_URLS" | cut -d, -f1) || true
  [ -z "$id" ] || etcdctl member remove "$id"
  etcdctl member add "$ETCD_NAME" --peer-urls="$ETCD_INITIAL_ADVERTISE_PEER_URLS" >/dev/null
  state=existing
elif [ -n "$(etcdctl endpoint status)" ]; then
  echo "other members answer, but have no majority: waiting" >&2
  exit 1
else
  state=new
fi
echo "ETCD_INITIAL_CLUSTER_STATE=$state" >/run/etcd/state.env
