// The engine over bad networks, from seeds: whatever is lost, doubled, reordered or damaged, look-ups
// are answered in time and the two terminals end up on a working path.
#include "tests/unit/terminal_world.hpp"

namespace ntm::terminal::testing {
namespace {

const Ipv4 kMnVirtual = ip("198.18.16.1").v4();
const Ipv4 kCnVirtual = ip("198.18.16.2").v4();

struct Play {
  explicit Play(std::uint64_t seed) : w(seed) {
    mn = std::make_unique<Node>(w, "mn", w.settings("mn.a.example"));
    cn = std::make_unique<Node>(w, "cn", w.settings("cn.a.example"));
    mn->dns_of = cn.get();
    cn->dns_of = mn.get();
  }
  void faults(double loss, double duplicate, double reorder, double corrupt) {
    for (scenario::SiteId site : {w.dc_site, w.relay_site, w.left, w.right, w.nat_a, w.nat_b}) {
      scenario::Faults& f = w.network.faults(site);
      f.loss = loss;
      f.duplicate = duplicate;
      f.reorder = reorder;
      f.corrupt = corrupt;
    }
  }
  void traffic(int steps) {
    for (int i = 0; i < steps; ++i) {
      mn->send_packet(kCnVirtual, 1);
      cn->send_packet(kMnVirtual, 2);
      w.run_for(milliseconds(20));
    }
  }
  bool flows() {
    std::size_t at_cn = cn->received(), at_mn = mn->received();
    traffic(5);
    w.run_for(milliseconds(200));
    return cn->received() >= at_cn + 5 && mn->received() >= at_mn + 5;
  }
  World w;
  std::unique_ptr<Node> mn;
  std::unique_ptr<Node> cn;
};

class TerminalLoss : public ::testing::TestWithParam<int> {};

TEST_P(TerminalLoss, SetUpAndHandoversSurvive) {
  Play p(static_cast<std::uint64_t>(GetParam()));
  p.w.dc->mode = GetParam() % 2 == 0 ? wire::RouteMode::Direct : wire::RouteMode::Relay;
  p.faults(0.08, 0.05, 0.1, 0.02);
  p.mn->attach(p.w.left, "198.51.100.7");
  p.cn->attach(GetParam() % 3 == 0 ? p.w.nat_b : p.w.right,
               GetParam() % 3 == 0 ? "192.168.1.2" : "198.51.100.8");
  p.w.until("both registered", seconds(60), [&] {
    return p.mn->engine->is_registered() && p.cn->engine->is_registered();
  });
  Instant asked = p.w.sim.now();
  p.mn->lookup(1, p.cn->records());
  p.w.until("the answer", seconds(3), [&] { return p.mn->ready(1) != nullptr; });
  EXPECT_LE(p.w.sim.now() - asked, kHoldLookup);
  p.traffic(25);
  // Three moves, the last one of both ends at once.
  p.mn->detach("198.51.100.7");
  p.traffic(5);
  p.mn->attach(p.w.nat_a, "192.168.5.5");
  p.traffic(100);
  p.mn->detach("192.168.5.5");
  p.mn->attach(p.w.right, "198.51.100.77");
  p.traffic(100);
  p.cn->detach(GetParam() % 3 == 0 ? "192.168.1.2" : "198.51.100.8");
  p.mn->detach("198.51.100.77");
  p.traffic(10);
  p.cn->attach(p.w.left, "198.51.100.88");
  p.mn->attach(p.w.left, "198.51.100.99");
  p.traffic(50);
  p.faults(0, 0, 0, 0);
  bool works = false;
  for (int second = 0; second < 40 && !works; ++second) {
    works = p.flows();
    p.w.run_for(seconds(1));
  }
  EXPECT_TRUE(works);
}

INSTANTIATE_TEST_SUITE_P(Seeds, TerminalLoss, ::testing::Range(1, 101));

TEST(TerminalSeeds, SameSeedSameHistory) {
  std::uint64_t hashes[2];
  for (std::uint64_t& hash : hashes) {
    Play p(7);
    p.faults(0.1, 0.1, 0.1, 0.02);
    p.mn->attach(p.w.left, "198.51.100.7");
    p.cn->attach(p.w.right, "198.51.100.8");
    p.w.run_for(seconds(5));
    p.mn->lookup(1, p.cn->records());
    p.w.run_for(seconds(5));
    p.traffic(20);
    hash = p.w.sim.trace_hash();
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

}  // namespace
}  // namespace ntm::terminal::testing
