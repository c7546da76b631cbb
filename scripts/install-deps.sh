#!/bin/sh
# Installs what the lab and the tests need of Debian: nothing where it is all there.
set -eu

programs="ovs-vswitchd:openvswitch-switch mn:mininet ip:iproute2 ping:iputils-ping ethtool:ethtool tcpdump:tcpdump
iperf3:iperf3 busybox:busybox dnsmasq:dnsmasq-base ifconfig:net-tools python3:python3 curl:curl nft:nftables"

PATH="$PATH:/usr/sbin:/sbin"
missing=
for entry in $programs; do
	command -v "${entry%%:*}" >/dev/null 2>&1 || missing="$missing ${entry##*:}"
done
[ -x /usr/bin/python3 ] || missing="$missing python3"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "install-deps: missing:$missing. Install them with your system's package manager." >&2
	exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
	echo "install-deps: installing$missing needs root; asking sudo." >&2
	as_root=sudo
fi
echo "Installing$missing ..."
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $as_root apt-get update && $as_root apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -20 "$log" >&2
	echo "install-deps: apt-get failed; its last lines are above." >&2
	exit 1
fi
echo "Installed."
