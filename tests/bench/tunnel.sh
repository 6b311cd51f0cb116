#!/bin/bash
# Measures the tun datapath between two network namespaces: ping, then iperf3 over both virtual
# families and over the bare veth, three interleaved rounds, medians. Prints what it found and
# asserts nothing (the machine's other load is in it). Needs root.
#
#   tests/bench/tunnel.sh PATH-TO-tunnel_bench [SECONDS] [end options, e.g. --full-sums]
set -eu
bench=$1
seconds=${2:-4}
shift; shift || true
id=$$
a=ntmb-a-$id
b=ntmb-b-$id
log=$(mktemp -d)
pids=()
clean() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  ip netns del "$a" 2>/dev/null || true
  ip netns del "$b" 2>/dev/null || true
  rm -rf "$log"
}
trap clean EXIT

ip netns add "$a"
ip netns add "$b"
ip link add va netns "$a" type veth peer name vb netns "$b"
ip -n "$a" addr add 10.7.0.1/24 dev va
ip -n "$b" addr add 10.7.0.2/24 dev vb
ip -n "$a" addr add fd07::1/64 dev va nodad
ip -n "$b" addr add fd07::2/64 dev vb nodad
for n in "$a" "$b"; do ip -n "$n" link set lo up; done
ip -n "$a" link set va up
ip -n "$b" link set vb up

wait_for() {  # file, text
  for _ in $(seq 100); do
    grep -q "$2" "$1" 2>/dev/null && return 0
    sleep 0.05
  done
  echo "tunnel.sh: $1 never said '$2'" >&2
  cat "$1" >&2
  return 1
}
start_ends() {  # outer addresses of a and b
  ip netns exec "$a" "$bench" end a 5001 "$2" "${options[@]}" >"$log/a" 2>&1 &
  pids+=($!)
  ip netns exec "$b" "$bench" end b 5001 "$1" "${options[@]}" >"$log/b" 2>&1 &
  pids+=($!)
  wait_for "$log/a" ready
  wait_for "$log/b" ready
}
stop_ends() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  pids=()
  sed "s/^/  $1 a: /" "$log/a" | tail -1
  sed "s/^/  $1 b: /" "$log/b" | tail -1
}
iperf() {  # target, further options; prints Gbit/s received
  local target=$1; shift
  ip netns exec "$b" iperf3 -s -1 -B "$target" >"$log/server" 2>&1 &
  local server=$!
  wait_for_listen
  ip netns exec "$a" iperf3 -c "$target" -t "$seconds" -J "$@" >"$log/client" 2>&1 || true
  wait "$server" || true
  python3 -c '
import json, sys
end = json.load(open(sys.argv[1]))["end"]
rate = end.get("sum_received", end.get("sum"))["bits_per_second"]
cpu = end["cpu_utilization_percent"]
print("%.2f" % (rate / 1e9))' "$log/client"
}
wait_for_listen() {
  for _ in $(seq 100); do
    ip netns exec "$b" ss -Hltn "sport = :5201" | grep -q . && return 0
    sleep 0.02
  done
}
median() {
  tr ' ' '\n' | grep . | sort -n |
    awk '{v[NR]=$1} END {print v[int((NR+1)/2)] " (" v[1] "-" v[NR] ")"}'
}

options=("$@")
plain4= ; plain6= ; in4= ; in6= ; over6= ; back4=
for round in 1 2 3; do
  plain4+=" $(iperf 10.7.0.2)"
  plain6+=" $(iperf fd07::2)"
  start_ends 10.7.0.1:5001 10.7.0.2:5001
  if [ "$round" = 1 ]; then
    ip netns exec "$a" ping -c 200 -i 0.005 -q 198.18.0.2 | tail -2 | sed 's/^/  ping4 /'
    ip netns exec "$a" ping -c 200 -i 0.005 -q fd4e:746d::2 | tail -2 | sed 's/^/  ping6 /'
    ip netns exec "$a" ping -c 200 -i 0.005 -q 10.7.0.2 | tail -1 | sed 's/^/  ping bare /'
  fi
  in4+=" $(iperf 198.18.0.2)"
  in6+=" $(iperf fd4e:746d::2)"
  back4+=" $(iperf 198.18.0.2 -R)"
  stop_ends "over IPv4"
  start_ends '[fd07::1]:5001' '[fd07::2]:5001'
  over6+=" $(iperf 198.18.0.2)"
  stop_ends "over IPv6"
done
echo "TCP, one stream, Gbit/s: median of 3 (least-most)"
echo "  bare veth IPv4                 $(echo "$plain4" | median)"
echo "  bare veth IPv6                 $(echo "$plain6" | median)"
echo "  tunnel, inner IPv4 over IPv4   $(echo "$in4" | median)"
echo "  tunnel, inner IPv6 over IPv4   $(echo "$in6" | median)"
echo "  tunnel, IPv4 over IPv4, -R     $(echo "$back4" | median)"
echo "  tunnel, inner IPv4 over IPv6   $(echo "$over6" | median)"
