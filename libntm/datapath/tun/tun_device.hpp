// The virtual interface: a TUN device that hands over and takes super-packets (IFF_VNET_HDR).
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "libntm/datapath/coalescer.hpp"
#include "libntm/datapath/datapath.hpp"
#include "libntm/datapath/tun/link.hpp"
#include "libntm/host/fd.hpp"

namespace ntm::datapath {

class TunDevice final : public InnerSink {
 public:
  static Result<std::shared_ptr<TunDevice>> open(const InterfaceOptions& options);

  int fd() const { return fd_.get(); }
  const InterfaceInfo& info() const { return info_; }
  bool takes_udp_super_packets() const { return udp_; }

  // One read into `buffer`: header and packet. Zero: nothing waits.
  std::size_t read(ByteSpan buffer);
  // From any thread; one packet or super-packet.
  void write(const Offload& offload, std::span<const ByteView> parts) override;
  std::uint64_t refused() const { return refused_; }

  // Other addresses, routes or MTU than at present; only the differences are made.
  Result<void> change(const InterfaceOptions& options);

 private:
  Result<void> create(const std::string& name);
  static std::vector<IpAddress> list(const VirtualAddresses& addresses);

  // Set once by open(), then read by all threads.
  host::Fd fd_;
  InterfaceInfo info_;
  bool udp_ = false;
  // The caller's thread only.
  Link link_;
  InterfaceOptions options_;  // as they are in effect
  // Any thread.
  std::atomic<std::uint64_t> refused_{0};  // writes that the kernel did not take
};

}  // namespace ntm::datapath
