#!/bin/sh
set -e
# The user stays, since files may belong to it, and so does /var/lib/balance-exporter: what was sent to the providers
# counts for whoever comes next, and tokens in it may be the only ones left.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
exit 0
