#!/bin/sh
set -e
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers /usr/lib/sysusers.d/balance-exporter.conf
    # only from root's own group: what an administrator has chosen stays
    find /etc/balance-exporter/exporter.yaml -group root -exec chgrp balance-exporter {} +
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # Nothing is restarted by an upgrade: a restart forgets what was sent to the providers in the current window.
    if systemctl --quiet is-active balance-exporter.service; then
        echo 'balance-exporter: still running the version before; systemctl restart balance-exporter when it suits you'
    fi
fi
exit 0
