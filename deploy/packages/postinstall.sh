#!/bin/sh
set -e
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers /usr/lib/sysusers.d/balance-exporter.conf
    # only from root's own group: what an administrator has chosen stays
    find /etc/balance-exporter/exporter.yaml -group root -exec chgrp balance-exporter {} +
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # Nothing is restarted by an upgrade: when scrapes may miss it is the administrator's choice, and a configuration
    # without `state` forgets what was sent to the providers.
    if systemctl --quiet is-active balance-exporter.service; then
        echo 'balance-exporter: still running the version before; systemctl restart balance-exporter when it suits you'
    fi
fi
exit 0
