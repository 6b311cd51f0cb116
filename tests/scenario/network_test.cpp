// The simulated network is itself tested first: a NAT that translates wrongly would make every
// scenario above it worthless.
#include "tests/scenario/network.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace ntm::scenario {
namespace {

struct Seen {
  Endpoint from;
  Endpoint to;
  Instant at;
};

class NetworkTest : public ::testing::Test {
 protected:
  Simulator sim{42};
  Network net{sim};
  std::map<HostId, std::vector<Seen>> seen;

  HostId host(const std::string& name, SiteId site, const std::string& address) {
    HostId* id = new HostId(0);  // the callback needs the id that add_host returns
    *id = net.add_host(name, [this, id](const Endpoint& f, const Endpoint& t, const Bytes&) {
      seen[*id].push_back({f, t, sim.now()});
    });
    ids.emplace_back(id);
    net.attach(*id, site, *parse_address(address));
    return *id;
  }
  void send(HostId h, const std::string& from, const std::string& to) {
    net.send(h, *parse_endpoint(from), *parse_endpoint(to), Bytes{1, 2, 3});
    sim.run_for(seconds(1));
  }
  SiteId nat_site(const std::string& outside, NatBehaviour mapping, NatBehaviour filtering) {
    SiteOptions o;
    o.nat = NatOptions{mapping, filtering};
    o.nat_outside = parse_address(outside)->v4();
    return net.add_site(o);
  }
  std::vector<std::unique_ptr<HostId>> ids;
};

TEST_F(NetworkTest, DelayIsTheSumOfAccessLinesOrThePairs) {
  SiteId a = net.add_site({"a", milliseconds(10), {}, {}});
  SiteId b = net.add_site({"b", milliseconds(7), {}, {}});
  HostId x = host("x", a, "192.0.2.1");
  HostId y = host("y", b, "198.51.100.1");
  Instant start = sim.now();
  send(x, "192.0.2.1:1", "198.51.100.1:2");
  ASSERT_EQ(seen[y].size(), 1u);
  EXPECT_EQ((seen[y][0].at - start).us, 17000);
  net.set_pair_delay(a, b, milliseconds(50));
  start = sim.now();
  send(y, "198.51.100.1:2", "192.0.2.1:1");
  EXPECT_EQ((seen[x][0].at - start).us, 50000);
}

TEST_F(NetworkTest, MappingAndFilteringByKind) {
  SiteId open = net.add_site({"open", milliseconds(1), {}, {}});
  HostId s1 = host("s1", open, "192.0.2.1");
  HostId s2 = host("s2", open, "192.0.2.2");
  for (NatBehaviour mapping : {NatBehaviour::EndpointIndependent,
                               NatBehaviour::AddressAndPortDependent}) {
    SiteId n = nat_site(mapping == NatBehaviour::EndpointIndependent ? "203.0.113.1"
                                                                     : "203.0.113.2",
                        mapping, NatBehaviour::AddressAndPortDependent);
    HostId in = host("in", n, "10.0.0.5");
    seen.clear();
    send(in, "10.0.0.5:4000", "192.0.2.1:53");
    send(in, "10.0.0.5:4000", "192.0.2.2:53");
    ASSERT_EQ(seen[s1].size(), 1u);
    ASSERT_EQ(seen[s2].size(), 1u);
    bool same = seen[s1][0].from == seen[s2][0].from;
    EXPECT_EQ(same, mapping == NatBehaviour::EndpointIndependent);
    // The answer passes, a stranger's port does not.
    std::string back = to_string(seen[s1][0].from);
    send(s1, "192.0.2.1:53", back);
    EXPECT_EQ(seen[in].size(), 1u);
    EXPECT_EQ(seen[in][0].to, *parse_endpoint("10.0.0.5:4000"));
    send(s1, "192.0.2.1:99", back);
    EXPECT_EQ(seen[in].size(), 1u);
    net.reboot_nat(n);
    send(s1, "192.0.2.1:53", back);
    EXPECT_EQ(seen[in].size(), 1u);
  }
}

TEST_F(NetworkTest, EndpointIndependentFilteringLetsStrangersIn) {
  SiteId open = net.add_site({"open", milliseconds(1), {}, {}});
  HostId s1 = host("s1", open, "192.0.2.1");
  HostId s2 = host("s2", open, "192.0.2.2");
  SiteId n = nat_site("203.0.113.1", NatBehaviour::EndpointIndependent,
                      NatBehaviour::EndpointIndependent);
  HostId in = host("in", n, "10.0.0.5");
  send(in, "10.0.0.5:4000", "192.0.2.1:53");
  send(s2, "192.0.2.2:7", to_string(seen[s1].at(0).from));
  EXPECT_EQ(seen[in].size(), 1u);
}

TEST_F(NetworkTest, PrivateAddressesAndMovesAndCuts) {
  SiteId open = net.add_site({"open", milliseconds(1), {}, {}});
  SiteId n = nat_site("203.0.113.1", NatBehaviour::EndpointIndependent,
                      NatBehaviour::AddressAndPortDependent);
  HostId s = host("s", open, "192.0.2.1");
  HostId a = host("a", n, "10.0.0.5");
  HostId b = host("b", n, "10.0.0.6");
  send(a, "10.0.0.5:1", "10.0.0.6:2");
  EXPECT_EQ(seen[b].size(), 1u);  // same site: direct, untranslated
  EXPECT_EQ(seen[b][0].from, *parse_endpoint("10.0.0.5:1"));
  send(s, "192.0.2.1:1", "10.0.0.6:2");
  EXPECT_EQ(seen[b].size(), 1u);  // nowhere
  net.detach(a, *parse_address("10.0.0.5"));
  send(a, "10.0.0.5:1", "10.0.0.6:2");
  EXPECT_EQ(seen[b].size(), 1u);  // the address is gone
  net.faults(n).cut = true;
  send(b, "10.0.0.6:1", "192.0.2.1:2");
  EXPECT_TRUE(seen[s].empty());
}

TEST(Simulator, SameSeedSameHash) {
  auto run = [](std::uint64_t seed) {
    Simulator sim(seed);
    Network net(sim);
    SiteId a = net.add_site({"a", milliseconds(10), {}, {}});
    net.faults(a).loss = 0.3;
    net.faults(a).duplicate = 0.2;
    net.faults(a).corrupt = 0.1;
    HostId x = net.add_host("x", [](const Endpoint&, const Endpoint&, const Bytes&) {});
    HostId y = net.add_host("y", [](const Endpoint&, const Endpoint&, const Bytes&) {});
    net.attach(x, a, *parse_address("192.0.2.1"));
    net.attach(y, a, *parse_address("192.0.2.2"));
    for (int i = 0; i < 200; ++i)
      net.send(x, *parse_endpoint("192.0.2.1:1"), *parse_endpoint("192.0.2.2:2"),
               Bytes{static_cast<Byte>(i)});
    sim.run_for(seconds(1));
    return sim.trace_hash();
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

}  // namespace
}  // namespace ntm::scenario
