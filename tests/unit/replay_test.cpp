// The replay window against a model that remembers every counter, and at its edges.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <set>
#include <string>
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

// Rederived from the definition for every size: "new" is never seen and less than `depth` behind
// the highest. Each row is one datagram, in order.
TEST(Replay, Table) {
  for (unsigned words : {2u, 4u, 128u}) {
    unsigned long long d = (words - 1) * 64ull;  // usable depth
    unsigned long long ring = words * 64ull;     // d + 64: the same bit again
    struct Row {
      unsigned long long counter;
      int accepted;
    };
    const Row rows[] = {
        {0, 1},        {1, 1},        {1, 0},         {9, 1},         {8, 1},        {7, 1},
        {7, 0},        {d, 1},        {d - 1, 1},     {d - 1, 0},     {d - 2, 1},    {2, 1},
        {2, 0},        {0, 0},        {d + 16, 1},    {3, 0},         {16, 0},       {17, 1},
        {17, 0},       {d + 17, 1},   {d + 17, 0},    {17, 0},        {18, 1},       {ring * 4, 1},
        {ring * 4 - d, 0},            {ring * 4 - d + 1, 1},          {ring * 3, 0},
        {ring * 4 - d + 1, 0},        {ring * 5 - 1, 1},              {ring * 5 - 1, 0},
        {ring * 5, 1},                {ring * 4, 0},                  {ring * 5 + 63, 1},
        {ring * 5 + 64, 1},           {ring * 5 + 62, 1},             {ring * 6 + 64, 1},
        {ring * 5 + 64, 0},           {0, 0},
    };
    Window x(words);
    int at = 0;
    for (const Row& row : rows) {
      EXPECT_EQ(ntm_replay_check(&x.w, row.counter), row.accepted) << "row " << at;
      EXPECT_EQ(ntm_replay_accept(&x.w, row.counter), row.accepted)
          << "words " << words << " row " << at << " counter " << row.counter;
      ++at;
    }
  }
}

// Whole runs around the depth: forwards, backwards, with a hole, after a jump of every size.
TEST(Replay, Sweeps) {
  for (unsigned words : {2u, 128u}) {
    unsigned long long d = (words - 1) * 64ull;
    Window forwards(words);
    for (unsigned long long n = 1; n <= d + 70; ++n)
      ASSERT_EQ(ntm_replay_accept(&forwards.w, n), 1);
    for (unsigned long long n = 0; n <= d + 70; ++n)
      ASSERT_EQ(ntm_replay_accept(&forwards.w, n), 0);

    Window backwards(words);
    for (unsigned long long n = d; n > 0; --n)
      ASSERT_EQ(ntm_replay_accept(&backwards.w, n), 1) << n;
    ASSERT_EQ(ntm_replay_accept(&backwards.w, 0), 0);

    Window hole(words);
    for (unsigned long long n = 1; n <= d; ++n) {
      if (n == 5) continue;
      ASSERT_EQ(ntm_replay_accept(&hole.w, n), 1);
    }
    ASSERT_EQ(ntm_replay_accept(&hole.w, 5), 1);
    ASSERT_EQ(ntm_replay_accept(&hole.w, 5), 0);

    for (unsigned long long jump = 1; jump <= d + 200; ++jump) {
      Window x(words);
      const unsigned long long start = 20'000;
      ASSERT_EQ(ntm_replay_accept(&x.w, start), 1);
      ASSERT_EQ(ntm_replay_accept(&x.w, start + jump), 1);
      ASSERT_EQ(ntm_replay_accept(&x.w, start), 0) << jump;
      ASSERT_EQ(ntm_replay_accept(&x.w, start + jump - d), 0) << jump;  // one too old
      ASSERT_EQ(ntm_replay_accept(&x.w, start + jump - d + 1), jump != d - 1) << jump;
    }
  }
}

// One datagram of a walk: so far from the greatest counter until then. Small numbers, and those
// around word and window borders, are the interesting ones.
long long offset_around(unsigned words) {
  long long d = (words - 1) * 64ll;
  return *rc::gen::oneOf(rc::gen::inRange<long long>(-4, 5), rc::gen::inRange<long long>(-70, 71),
                         rc::gen::inRange<long long>(-d - 3, -d + 4),
                         rc::gen::inRange<long long>(d - 3, d + 70),
                         rc::gen::inRange<long long>(-2 * d, 3 * d));
}

// Equals a model that remembers every counter: accepted = never seen, and less than `depth` behind
// the highest. rapidcheck shrinks a failure to the shortest walk.
TEST(Replay, EqualsModelOnWalks) {
  for (unsigned words : {2u, 4u, 128u}) {
    bool held = rc::check("window of " + std::to_string(words) + " words", [words] {
      unsigned long long depth = (words - 1) * 64ull;
      Window x(words);
      std::set<unsigned long long> seen;
      unsigned long long highest = *rc::gen::inRange<unsigned long long>(0, 1ull << 20);
      int steps = *rc::gen::inRange(1, 200);
      for (int i = 0; i < steps; ++i) {
        long long offset = offset_around(words);
        if (offset < 0 && highest < static_cast<unsigned long long>(-offset)) offset = 0;
        unsigned long long counter = highest + static_cast<unsigned long long>(offset);
        bool known = seen.count(counter) != 0;
        bool expected = !known && (seen.empty() || counter > highest || highest - counter < depth);
        bool inside = known && highest - counter < depth;
        RC_ASSERT(ntm_replay_seen(&x.w, counter) == (inside ? 1 : 0));
        RC_ASSERT(ntm_replay_check(&x.w, counter) == (expected ? 1 : 0));
        RC_ASSERT(ntm_replay_accept(&x.w, counter) == (expected ? 1 : 0));
        if (!expected) continue;
        highest = seen.empty() ? counter : std::max(highest, counter);
        seen.insert(counter);
        RC_ASSERT(x.w.highest == highest);
      }
    });
    EXPECT_TRUE(held);
  }
}

}  // namespace
