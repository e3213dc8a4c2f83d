#!/bin/sh
# Brings certificates to where the nodes look for them: ./hand-out.sh CERTIFICATES
#
# CERTIFICATES is the directory that `lifeboat certs FILE --out CERTIFICATES` wrote. Run it again after `--renew`. Nothing of it
# belongs into this tree, and ca.key belongs to no node. A node in a cluster has its namespace by then, from node.yaml. It ends at the
# first store that cannot be reached.
set -eu
certificates=$(realpath "$1")

# What the node of a region has to have, as one text.
packed() {
  tar -C "$certificates" -c ca.pem "$1.pem" "$1.key" | base64 | tr -d '\n'
}

@{commands}
