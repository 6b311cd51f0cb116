// All links of one lab, the table of site delays, and the text commands that change them.
//
//   link NAME IF_A IF_B             join two interfaces
//   unlink NAME
//   set NAME ab|ba|both KEY=VALUE…  delay jitter reorder_by (12.5ms, 300us, 1s), loss duplicate
//                                   corrupt reorder (0..1), rate (20mbit, 0 = none),
//                                   queue (bytes), cut (0|1)
//   pair FROM/LEN TO/LEN DELAY      one-way delay between two sites (applied from A to B)
//   pair-clear
//   seed NUMBER                     restarts every random sequence
//   stats                           one JSON object
//
// Every command is answered by one line: "ok", JSON, or "error: …"; an error changes nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/netns/wire/pair_table.hpp"
#include "tests/netns/wire/port.hpp"
#include "tests/netns/wire/shaper.hpp"

namespace ntm::lab {

// A is the side of the site, B the side of the core: site delays count for frames from A to B.
struct Link {
  Link(const std::string& interface_a, const std::string& interface_b, std::uint64_t seed,
       std::string& error)
      : a(interface_a, error), b(interface_b, error), ab(seed * 2), ba(seed * 2 + 1) {}
  Port a;
  Port b;
  Shaper ab;
  Shaper ba;
};

class Switchboard {
 public:
  explicit Switchboard(int epoll) : epoll_(epoll) {}

  std::string command(const std::string& line);
  // Reads a batch of what waits on the interface with this socket; returns how many frames.
  std::size_t receive(int fd, Nanoseconds now);
  void deliver(Nanoseconds now);
  std::optional<Nanoseconds> next_due() const;

 private:
  using Words = std::vector<std::string>;
  std::string add_link(const Words& words);
  std::string remove_link(const Words& words);
  std::string set(const Words& words);
  std::string set_pair(const Words& words);
  std::string reseed(const Words& words);
  std::string stats() const;
  void deliver(Shaper& shaper, Port& out, Nanoseconds now);

  int epoll_;
  std::uint64_t seed_ = 1;
  std::map<std::string, std::unique_ptr<Link>> links_;
  std::map<int, Link*> by_fd_;
  PairTable pairs_;
  ReceiveBatch batch_;
  std::vector<Received> received_;
};

}  // namespace ntm::lab
