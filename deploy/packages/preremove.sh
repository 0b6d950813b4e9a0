#!/bin/sh
set -e
# deb says "remove", rpm says how many stay: an upgrade stops nothing
case ${1-} in
remove | 0)
    if [ -d /run/systemd/system ]; then
        systemctl --quiet disable --now balance-exporter.service
    fi
    ;;
esac
exit 0
