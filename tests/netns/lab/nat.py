"""A home router: masquerades its LAN behind one outside IPv4 address, by nftables."""


class NatRouter:
    def __init__(self, space, outside, inside, outside_address, lan):
        self.space, self.outside, self.inside = space, outside, inside
        self.outside_address, self.lan = outside_address, lan
        self._random, self._hairpin = False, False
        self._forwards = []
        space.sysctl("net.ipv4.ip_forward=1")
        self.apply()

    def configure(self, random_ports=False, hairpin=False):
        """random_ports: every flow gets a random outside port (what an endpoint-dependent NAT
        looks like); hairpin: hosts of the LAN reach forwarded ports by the outside address."""
        self._random, self._hairpin = random_ports, hairpin
        self.apply()

    def forward(self, protocol, outside_port, host, inside_port):
        self._forwards.append((protocol, outside_port, host, inside_port))
        self.apply()

    def forget(self):
        """What a reboot of the router does to its mappings."""
        self.space.run("conntrack", "-F", check=False)

    def udp_timeout(self, seconds):
        self.space.sysctl(f"net.netfilter.nf_conntrack_udp_timeout={seconds}",
                          f"net.netfilter.nf_conntrack_udp_timeout_stream={seconds}")

    def apply(self):
        flags = "fully-random" if self._random else ""
        dnat = []
        for protocol, port, host, inside_port in self._forwards:
            where = "" if self._hairpin else f"iifname {self.outside} "
            dnat.append(f"{where}ip daddr {self.outside_address} {protocol} dport {port} "
                        f"dnat to {host}:{inside_port}")
        loop = f"oifname {self.inside} ip saddr {self.lan} ct status dnat masquerade"
        self.space.nft(f"""
table ip home
delete table ip home
table ip home {{
  chain in {{
    type nat hook prerouting priority dstnat
    {chr(10).join(dnat)}
  }}
  chain out {{
    type nat hook postrouting priority srcnat
    oifname {self.outside} ip saddr {self.lan} masquerade {flags}
    {loop if self._hairpin else ""}
  }}
  chain wall {{
    type filter hook forward priority filter
    ct state established,related accept
    ct status dnat accept
    iifname {self.outside} drop
  }}
}}
""")
