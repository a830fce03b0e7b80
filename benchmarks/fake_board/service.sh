#!/usr/bin/env bash
# service.sh TREE STUBS PYTHON: the real jtop service, in a mount namespace where TREE is /sys, parts of /proc and of /etc.
set -euo pipefail
export FAKE_BOARD=$1 STUBS=$2 INTERPRETER=$3
getent group jtop > /dev/null || groupadd jtop           # the service does not start without it
export SETTINGS; SETTINGS=$("$INTERPRETER" -c 'import sys; print(sys.base_prefix)')/local/jtop
mkdir -p "$SETTINGS"
exec unshare --mount --propagation private bash -euc '
  upper=$FAKE_BOARD/etc-upper; work=$FAKE_BOARD/etc-work
  mkdir -p "$upper/systemd/system" "$work" "$FAKE_BOARD/home/nvidia" "$FAKE_BOARD/settings"
  cp "$FAKE_BOARD"/etc/* "$upper/"
  : > "$upper/systemd/system/nvfancontrol.service"
  [ -e /etc/fstab ] || : > "$upper/fstab"
  cp "$STUBS/jetson_clocks" "$FAKE_BOARD/home/nvidia/jetson_clocks.sh"
  # Bound while the old names are still the ones of this machine.
  mount -t overlay overlay -o lowerdir=/etc,upperdir="$upper",workdir="$work" /etc
  mount --bind "$FAKE_BOARD/home" /home
  mount --bind "$FAKE_BOARD/settings" "$SETTINGS"
  mount --bind "$FAKE_BOARD/proc/meminfo" /proc/meminfo
  mount --bind "$FAKE_BOARD/proc/stat" /proc/stat
  mount --bind "$FAKE_BOARD/sys" /sys
  export PATH=$STUBS:$PATH JTOP_SERVICE=True
  exec "$INTERPRETER" -m jtop --force
'
