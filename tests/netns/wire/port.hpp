// One network interface, as a raw packet socket with virtio-net headers.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "tests/netns/wire/frame.hpp"

namespace ntm::lab {

struct Received {
  Nanoseconds arrival;  // on the monotonic clock, as stamped by the kernel
  Frame frame;
};

// Receive buffers, shared by all ports because only one is read at a time.
class ReceiveBatch {
 public:
  static constexpr std::size_t kFrames = 64;
  ReceiveBatch();
  // Reads what is there (at most kFrames) into `out`; returns the number read, 0 when empty.
  std::size_t read(int fd, Nanoseconds now, std::vector<Received>& out);

 private:
  struct Slot {
    OffloadHeader offload;
    std::array<std::uint8_t, kMaxFrame> bytes;
    alignas(cmsghdr) std::array<char, 64> control;
    std::array<iovec, 2> parts;
  };
  std::vector<Slot> slots_;
  std::vector<mmsghdr> messages_;
};

class Port {
 public:
  // On failure fd() is -1 and `error` says why.
  Port(const std::string& interface, std::string& error);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  int fd() const { return fd_; }
  const std::string& interface() const { return interface_; }
  // Sends all; returns how many the kernel refused (interface down, no memory).
  std::size_t send(std::vector<Frame>& frames);

 private:
  bool configure(std::string& error);

  std::string interface_;
  int fd_ = -1;
};

}  // namespace ntm::lab
