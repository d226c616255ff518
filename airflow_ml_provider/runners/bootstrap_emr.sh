#!/bin/bash
# A bootstrap action of EMR: libraries on every machine, accelerators for YARN, and an end on the day that max_lifetime set.
set -euo pipefail
lifetime='' gpus='' python=3 index='' libraries=() here=$(mktemp -d)
install() { # the libraries so far, from their index alone, into the Python of PySpark, which need not be the machine's own
    [ ${#libraries[@]} -gt 0 ] || return 0
    "python$python" -m pip --version >/dev/null 2>&1 || sudo "python$python" -m ensurepip
    sudo "python$python" -m pip install --quiet --no-input ${index:+--index-url "$index"} "${libraries[@]}"
    libraries=()
}
while [ $# -gt 0 ]; do
    case "$1" in
        --lifetime) lifetime="$2"; shift 2 ;;
        --gpus) gpus=yes; shift ;;
        --python) python="$2"; shift 2 ;;
        --pip) libraries+=("$2"); shift 2 ;;
        --index-url) install; index="$2"; shift 2 ;;
        --wheel) aws s3 cp --quiet "$2" "$here/"; libraries+=("$here/${2##*/}"); shift 2 ;;
        --requirements) aws s3 cp --quiet "$2" "$here/"; libraries+=(-r "$here/${2##*/}"); shift 2 ;;
        *) echo "bootstrap_emr.sh: no such option: $1" >&2; exit 2 ;;
    esac
done
install
if [ -n "$gpus" ]; then
    sudo mkdir -p /spark-rapids-cgroup/devices
    sudo mount -t cgroup -o devices cgroupv1-devices /spark-rapids-cgroup/devices
    sudo chmod a+rwx -R /spark-rapids-cgroup
fi
if [ -n "$lifetime" ] && grep -q '"isMaster": *true' /mnt/var/lib/info/instance.json; then
    # the cluster ends with its primary node
    sudo systemd-run --on-active="$lifetime" /usr/sbin/shutdown -h now
fi
