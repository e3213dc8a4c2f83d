#!/bin/sh
# Runs a container's program on this machine instead: the file system is the machine's, the environment is what was asked for.
[ "$1" = run ] || exit 0
shift
detached=
name=
while :; do
  case $1 in
  --detach) detached=yes && shift ;;
  --rm) shift ;;
  --name) name=$2 && shift 2 ;;
  --env) export "$2" && shift 2 ;;
  --env-file)
    while IFS= read -r line; do export "$line"; done <"$2"
    shift 2
    ;;
  --*) shift 2 ;;
  *) break ;;
  esac
done
case $1 in
*lifeboat*) shift && set -- /usr/local/bin/lifeboat "$@" ;;
*) shift && program=$1 && shift && set -- "/usr/bin/$program" "$@" ;;
esac
[ -n "$detached" ] || exec "$@"
# As --restart always has it.
while :; do "$@"; done >>"/tmp/$name.log" 2>&1 &
