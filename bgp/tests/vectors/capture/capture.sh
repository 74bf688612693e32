#!/bin/bash
# Captures what FRR, BIRD and GoBGP say: capture.sh frr|bird|gobgp. Needs root, iproute2 and the speaker. Everything
# happens in network and mount namespaces of its own.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ "${INSIDE:-}" != 1 ]; then INSIDE=1 exec unshare -m -n -u "$0" "$@"; fi
kind=$1
out=$here/../$kind
work=$(mktemp -d)
hostname speaker
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip netns add speaker
ip link add speaker0 type veth peer name eth0 netns speaker
ip link set lo up
ip link set speaker0 up
ip -n speaker link set lo up
ip -n speaker link set eth0 up
ip -n speaker addr add 10.99.0.1/24 dev eth0
ip -n speaker addr add fd99::1/64 dev eth0 nodad
for i in 2 3 4 5; do
    ip addr add 10.99.0.$i/24 dev speaker0
    ip addr add fd99::$i/64 dev speaker0 nodad
done
pids=()
trap 'for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done; wait; rm -rf "$work"' EXIT

case $kind in
frr)
    install -d -o frr -g frr /run/frr/speaker
    chmod 755 "$work"
    cat >"$work/frr.conf" <<CONF
frr defaults traditional
hostname speaker
router bgp 65001
 bgp router-id 10.99.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.99.0.2 remote-as 65010
 neighbor 10.99.0.3 remote-as 65020
 neighbor 10.99.0.4 remote-as 65001
 neighbor 10.99.0.2 passive
 neighbor 10.99.0.3 passive
 neighbor 10.99.0.4 passive
 neighbor 10.99.0.2 capability extended-nexthop
 neighbor 10.99.0.4 capability extended-nexthop
 neighbor fd99::5 remote-as 65050
 neighbor fd99::5 passive
 neighbor fd99::5 capability extended-nexthop
 address-family ipv4 unicast
  neighbor fd99::5 activate
  network 20.1.0.0/16 route-map RICH
  network 20.2.0.0/24
  neighbor 10.99.0.2 soft-reconfiguration inbound
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:20::/48 route-map RICH
  neighbor 10.99.0.2 activate
  neighbor 10.99.0.4 activate
  neighbor fd99::5 activate
 exit-address-family
route-map RICH permit 10
 set community 65001:1 65001:2 no-export additive
 set large-community 65001:1:2
 set extcommunity rt 65001:7
 set metric 50
 set origin incomplete
CONF
    sed -i 's/ no-export / /' "$work/frr.conf"
    chmod 644 "$work/frr.conf"
    for d in zebra bgpd; do
        ip netns exec speaker /usr/lib/frr/$d -N speaker -f "$work/frr.conf" -u frr -g frr --log file:"/run/frr/speaker/$d.log" &
        pids+=($!)
        sleep 1
    done
    end="ip netns exec speaker vtysh -N speaker -c 'clear bgp * in' -c 'clear bgp ipv6 * in'; sleep 2
         ip netns exec speaker vtysh -N speaker -c 'conf t' -c 'router bgp 65001' \
            -c 'neighbor 10.99.0.2 shutdown message maintenance until 18:00' \
            -c 'no neighbor 10.99.0.3' -c 'neighbor 10.99.0.4 shutdown'"
    ;;
bird)
    cat >"$work/bird.conf" <<CONF
router id 10.99.0.1;
protocol device {}
protocol static s4 {
    ipv4;
    route 20.1.0.0/16 blackhole {
        bgp_community.add((65001,1)); bgp_community.add((65001,2));
        bgp_large_community.add((65001,1,2));
        bgp_ext_community.add((rt,65001,7));
        bgp_med = 50; bgp_origin = ORIGIN_INCOMPLETE;
    };
    route 20.2.0.0/24 blackhole;
}
protocol static s6 { ipv6; route 2001:db8:20::/48 blackhole { bgp_community.add((65001,1)); }; }
template bgp peer {
    local 10.99.0.1 as 65001;
    passive;
    graceful restart;
    enable extended messages;
    ipv4 { import all; export all; next hop self; extended next hop; };
}
protocol bgp four from peer { neighbor 10.99.0.2 as 65010; ipv6 { import all; export all; next hop address fd99::1; }; }
protocol bgp two from peer { neighbor 10.99.0.3 as 65020; ipv4 { extended next hop off; }; }
protocol bgp over6 from peer { local fd99::1 as 65001; neighbor fd99::5 as 65050; ipv6 { import all; export all; next hop self; }; }
protocol bgp inside from peer { neighbor 10.99.0.4 as 65001; ipv6 { import all; export all; next hop address fd99::1; }; }
CONF
    ip netns exec speaker bird -f -c "$work/bird.conf" -s "$work/bird.ctl" &
    pids+=($!)
    end="birdc -s $work/bird.ctl reload in all; sleep 2; birdc -s $work/bird.ctl reload out all; sleep 2
         birdc -s $work/bird.ctl disable four '\"maintenance until 18:00\"'
         birdc -s $work/bird.ctl restart two; birdc -s $work/bird.ctl disable inside"
    ;;
gobgp)
    cat >"$work/gobgp.toml" <<CONF
[global.config]
as = 65001
router-id = "10.99.0.1"
local-address-list = ["10.99.0.1", "fd99::1"]
CONF
    for peer in "10.99.0.2 65010 v6" "10.99.0.3 65020" "10.99.0.4 65001 v6" "fd99::5 65050 v6"; do
        read -r address asn v6 <<<"$peer"
        cat >>"$work/gobgp.toml" <<CONF
[[neighbors]]
[neighbors.config]
neighbor-address = "$address"
peer-as = $asn
[neighbors.transport.config]
passive-mode = true
local-address = "$([[ $address == *:* ]] && echo fd99::1 || echo 10.99.0.1)"
[neighbors.graceful-restart.config]
enabled = true
restart-time = 120
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "ipv4-unicast"
[neighbors.afi-safis.mp-graceful-restart.config]
enabled = true
CONF
        if [ -n "$v6" ]; then
            cat >>"$work/gobgp.toml" <<CONF
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "ipv6-unicast"
[neighbors.afi-safis.mp-graceful-restart.config]
enabled = true
CONF
        fi
    done
    ip netns exec speaker gobgpd -f "$work/gobgp.toml" --log-plain --pprof-disable --api-hosts 127.0.0.1:50051 >"$work/log" 2>&1 &
    pids+=($!)
    sleep 2
    ip netns exec speaker gobgp global rib add 20.1.0.0/16 origin incomplete med 50 community 65001:1,65001:2 large-community 65001:1:2 rt 65001:7
    ip netns exec speaker gobgp global rib add 20.2.0.0/24
    ip netns exec speaker gobgp global rib add -a ipv6 2001:db8:20::/48 nexthop fd99::1 community 65001:1
    end="ip netns exec speaker gobgp neighbor 10.99.0.2 softresetin; ip netns exec speaker gobgp neighbor 10.99.0.4 softresetin; sleep 2
         ip netns exec speaker gobgp neighbor 10.99.0.2 shutdown 'maintenance until 18:00'
         ip netns exec speaker gobgp neighbor 10.99.0.3 reset 'upgrade'
         ip netns exec speaker gobgp neighbor del 10.99.0.4"
    ;;
esac
sleep 1
python3 "$here/collect.py" "$out" "$end"
