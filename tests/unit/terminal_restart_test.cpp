// A DC that is down and comes back: how the terminal waits, and that its hint ends the waiting.
#include "tests/unit/terminal_world.hpp"

namespace ntm::terminal::testing {
namespace {

// Two families take turns in asking; the one that waits must not keep the other one's timer awake.
TEST(TerminalRestart, SleepsBetweenAttemptsWhileTheDcIsDown) {
  World w;
  Engine engine(w.settings("mn.a.example"), {}, w.sim.random());
  Instant now = w.sim.now();
  Instant end = now + seconds(600);
  engine.handle(now, SocketsOpened{{4}, {6}, 40000, 40000});
  engine.handle(now, AddressesChanged{{{ip("11.0.0.5"), 1, "eth1"},
                                       {ip("2001:db8:7::5"), 1, "eth1"}}, {}});
  int wakes = 0;
  int sent = 0;
  for (; now < end; ++wakes) {
    for (const Effect& e : engine.take_effects()) sent += std::holds_alternative<SendControl>(e);
    Instant next = engine.next_deadline();
    ASSERT_GT(next, now) << "after " << wakes << " wake-ups, "
                         << (now - w.sim.now()).ms() << " ms after the start";
    now = next;
    engine.on_timer(now);
  }
  // An attempt is three datagrams in 1.75 s; the long pause of a family is 12 s to 18 s.
  EXPECT_GT(sent, 150);
  EXPECT_LT(sent, 400);
  EXPECT_LT(wakes, 2 * sent);
}

TEST(TerminalRestart, HintEndsTheWaitingInEveryPhaseOfIt) {
  for (int phase = 0; phase < 40; ++phase) {
    World w(static_cast<std::uint64_t>(phase) + 1);
    Node mn(w, "mn", w.settings("mn.a.example"));
    mn.attach(w.left, "11.0.0.5");
    mn.attach(w.left, "2001:db8:7::5");
    w.until("registration", seconds(2), [&] { return mn.engine->is_registered(); });
    w.run_for(seconds(1));
    w.dc->silent = true;
    w.dc->forget_sessions();
    w.run_for(seconds(60) + milliseconds(phase * 470));
    int before = w.dc->terminal(name("mn.a.example")).handshakes;
    w.dc->silent = false;
    w.dc->hint_all();
    w.run_for(milliseconds(500));
    EXPECT_GT(w.dc->terminal(name("mn.a.example")).handshakes, before) << "phase " << phase;
    for (const FamilyStatus& f : mn.engine->status().families)
      EXPECT_TRUE(f.registered) << "phase " << phase << ", " << to_string(f.family);
  }
}

// Blocked or unrouted, while the machine has an address of the family: a common state of IPv6.
TEST(TerminalRestart, AFamilyWithoutAWayDoesNotEndTheSessionOfTheOther) {
  for (bool broken6 : {false, true}) {
    World w;
    Node mn(w, "mn", w.settings("mn.a.example"));
    w.network.faults(w.right).loss = 1.0;
    mn.attach(broken6 ? w.right : w.left, "2001:db8:7::5", 100, 1);
    mn.attach(broken6 ? w.left : w.right, "11.0.0.5", 100, 2);
    w.run_for(seconds(120));
    EXPECT_TRUE(mn.engine->is_registered());
    EXPECT_EQ(mn.count("session_lost"), 0) << broken6;
    EXPECT_LE(w.dc->terminal(name("mn.a.example")).handshakes, 2) << broken6;
    // The way opens: the family comes by itself.
    w.network.faults(w.right).loss = 0.0;
    w.run_for(seconds(25));
    for (const FamilyStatus& f : mn.engine->status().families)
      EXPECT_TRUE(f.registered) << to_string(f.family);
  }
}

// Who copied a hint can send it again and again: it makes one handshake more an attempt, no stream.
TEST(TerminalRestart, CopiedHintsDoNotMakeAStream) {
  World w;
  Node mn(w, "mn", w.settings("mn.a.example"));
  mn.attach(w.left, "11.0.0.5");
  w.until("registration", seconds(2), [&] { return mn.engine->is_registered(); });
  w.run_for(seconds(1));
  w.dc->silent = true;
  w.dc->forget_sessions();
  int before = mn.count("dc_restarted");
  for (int i = 0; i < 1000; ++i) {
    w.dc->hint_all();
    w.run_for(milliseconds(10));
  }
  // 10 s: an attempt takes 0.15 s at this round-trip time, at the least; two notes each.
  EXPECT_GE(mn.count("dc_restarted") - before, 2);
  EXPECT_LT(mn.count("dc_restarted") - before, 150);
}

}  // namespace
}  // namespace ntm::terminal::testing
