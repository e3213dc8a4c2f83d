#!/bin/sh
# Makes what the nodes and etcd know each other by: an authority of the app's own, and a certificate per region.
# Run it once on a machine that you trust; keep ca.key off line. Run it again to renew: the authority stays.
set -eu
umask 077
cd "$(dirname "$0")"

if [ ! -f ca.key ]; then
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj "/O=@{app}/CN=@{app} nodes" -out ca.crt
fi

node() {
  mkdir -p "$1"
  openssl ecparam -name prime256v1 -genkey -noout -out "$1/node.key"
  openssl req -new -key "$1/node.key" -subj "/O=@{app}/CN=$1" -out "$1/node.csr"
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\nbasicConstraints=CA:FALSE\n' "$2" > "$1/node.ext"
  openssl x509 -req -in "$1/node.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -sha256 -days 397 -extfile "$1/node.ext" -out "$1/node.crt"
  rm "$1/node.csr" "$1/node.ext"
  cp ca.crt "$1/ca.crt"
}

@{nodes}
