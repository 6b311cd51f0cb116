// The replay window against a model that remembers every counter, and at its edges.
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "kernel/core/ntm_replay.h"

namespace {

struct Window {
  explicit Window(unsigned words) : bits(words) { ntm_replay_init(&w, bits.data(), words); }
  std::vector<unsigned long long> bits;
  ntm_replay w;
};

TEST(Replay, Edges) {
  for (unsigned words : {2u, 128u}) {
    Window x(words);
    unsigned long long depth = (words - 1) * 64ull;
    EXPECT_EQ(ntm_replay_seen(&x.w, 0), 0);
    EXPECT_EQ(ntm_replay_accept(&x.w, 0), 1);
    EXPECT_EQ(ntm_replay_accept(&x.w, 0), 0);
    EXPECT_EQ(ntm_replay_accept(&x.w, depth), 1);
    EXPECT_EQ(ntm_replay_accept(&x.w, 0), 0);          // exactly out of the window
    EXPECT_EQ(ntm_replay_accept(&x.w, 1), 1);          // exactly in
    EXPECT_EQ(ntm_replay_accept(&x.w, 1), 0);
    EXPECT_EQ(ntm_replay_seen(&x.w, 1), 1);
    EXPECT_EQ(ntm_replay_accept(&x.w, 1'000'000), 1);  // a jump clears everything
    EXPECT_EQ(ntm_replay_accept(&x.w, depth), 0);
    EXPECT_EQ(ntm_replay_accept(&x.w, 1'000'000 - depth + 1), 1);
    EXPECT_EQ(ntm_replay_accept(&x.w, 1'000'000 - depth), 0);
    EXPECT_EQ(ntm_replay_accept(&x.w, (1ull << 48) - 1), 1);
    EXPECT_EQ(ntm_replay_accept(&x.w, (1ull << 48) - 2), 1);
    EXPECT_EQ(ntm_replay_accept(&x.w, (1ull << 48) - 2), 0);
  }
}

TEST(Replay, CheckChangesNothing) {
  Window x(2);
  EXPECT_EQ(ntm_replay_check(&x.w, 7), 1);
  EXPECT_EQ(ntm_replay_check(&x.w, 7), 1);
  EXPECT_EQ(ntm_replay_accept(&x.w, 7), 1);
  EXPECT_EQ(ntm_replay_check(&x.w, 7), 0);
}

// Every accept equals the model: never seen before, and less than `depth` behind the highest.
TEST(Replay, EqualsModelOnRandomWalks) {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    std::mt19937_64 random(seed);
    unsigned words = seed % 2 ? 2 : 128;
    unsigned long long depth = (words - 1) * 64ull;
    Window x(words);
    std::set<unsigned long long> seen;
    unsigned long long highest = 0;
    unsigned long long base = random() % 1000;
    for (int step = 0; step < 5000; ++step) {
      unsigned long long jump = random() % 100 == 0 ? random() % (3 * depth) : random() % 3;
      base += jump;
      unsigned long long back = random() % (depth + depth / 4 + 2);
      unsigned long long counter = base > back ? base - back : 0;
      bool expected = seen.count(counter) == 0 &&
                      (seen.empty() || counter > highest || highest - counter < depth);
      ASSERT_EQ(ntm_replay_accept(&x.w, counter) == 1, expected)
          << "seed " << seed << " step " << step << " counter " << counter;
      if (expected) {
        seen.insert(counter);
        highest = std::max(highest, counter);
      }
    }
  }
}

}  // namespace
