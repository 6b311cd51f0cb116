// See tun_device.hpp.
#include "libntm/datapath/tun/tun_device.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <algorithm>

// Linux 6.2; older headers don't have them, older kernels refuse them.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

namespace ntm::datapath {

std::vector<IpAddress> TunDevice::list(const VirtualAddresses& addresses) {
  std::vector<IpAddress> out;
  if (addresses.v4) out.push_back(*addresses.v4);
  if (addresses.v6) out.push_back(*addresses.v6);
  return out;
}

Result<void> TunDevice::create(const std::string& name) {
  fd_.reset(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd_) {
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
      return fail(ErrorKind::Unavailable,
                  "no /dev/net/tun: load the module (modprobe tun), or give the container this "
                  "device");
    if (errno == EACCES || errno == EPERM)
      return fail(ErrorKind::Denied, "opening /dev/net/tun is not permitted: run as root");
    return fail(ErrorKind::Unavailable,
                "opening /dev/net/tun failed: " + host::system_error_text(errno));
  }
  ifreq request{};
  if (name.empty() || name.size() >= sizeof(request.ifr_name))
    return invalid("'" + name + "' is no interface name: use 1 to 15 characters");
  std::copy(name.begin(), name.end(), request.ifr_name);
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(fd_.get(), TUNSETIFF, &request) != 0) {
    if (errno == EPERM)
      return fail(ErrorKind::Denied, "creating " + name +
                                         " needs CAP_NET_ADMIN: run as root or grant the "
                                         "capability");
    if (errno == EBUSY)
      return fail(ErrorKind::Conflict, name + " is in use by another program: stop it or choose "
                                              "another interface name");
    return fail(ErrorKind::Unavailable,
                "creating " + name + " failed: " + host::system_error_text(errno));
  }
  info_.name = request.ifr_name;
  info_.index = ::if_nametoindex(request.ifr_name);
  unsigned offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  udp_ = ::ioctl(fd_.get(), TUNSETOFFLOAD, offload | TUN_F_USO4 | TUN_F_USO6) == 0;
  if (!udp_ && ::ioctl(fd_.get(), TUNSETOFFLOAD, offload) != 0)
    return fail(ErrorKind::Unavailable,
                "this kernel's TUN has no segmentation offload: " + host::system_error_text(errno));
  return {};
}

Result<std::shared_ptr<TunDevice>> TunDevice::open(const InterfaceOptions& options) {
  std::shared_ptr<TunDevice> out = std::make_shared<TunDevice>();
  Result<void> created = out->create(options.name);
  if (!created) return pass(created.error());
  Result<Link> link = Link::open(out->info_.index);
  if (!link) return pass(link.error());
  out->link_ = std::move(*link);
  out->options_.name = options.name;
  out->options_.mtu = 0;
  Result<void> changed = out->change(options);
  if (!changed) return pass(changed.error());
  return out;
}

Result<void> TunDevice::change(const InterfaceOptions& options) {
  std::vector<IpAddress> before = list(options_.addresses);
  std::vector<IpAddress> after = list(options.addresses);
  for (const IpAddress& address : after) {
    if (std::find(before.begin(), before.end(), address) != before.end()) continue;
    Result<void> done = link_.add_address(address);
    if (!done) return done;
  }
  if (options.mtu != options_.mtu) {
    Result<void> done = link_.up(options.mtu);
    if (!done) return done;
    options_.mtu = options.mtu;
  }
  for (const Prefix& route : options.routes) {
    if (std::find(options_.routes.begin(), options_.routes.end(), route) != options_.routes.end())
      continue;
    Result<void> done = link_.add_route(route);
    if (!done) return done;
    options_.routes.push_back(route);
  }
  for (const Prefix& route : options_.routes)
    if (std::find(options.routes.begin(), options.routes.end(), route) == options.routes.end())
      (void)link_.remove_route(route);  // gone already is as good
  for (const IpAddress& address : before)
    if (std::find(after.begin(), after.end(), address) == after.end())
      (void)link_.remove_address(address);
  options_ = options;
  return {};
}

std::size_t TunDevice::read(ByteSpan buffer) {
  for (;;) {
    ssize_t size = ::read(fd_.get(), buffer.data(), buffer.size());
    if (size > 0) return static_cast<std::size_t>(size);
    if (size == 0 || errno != EINTR) return 0;
  }
}

void TunDevice::write(const Offload& offload, std::span<const ByteView> parts) {
  std::array<Byte, kVnetHeaderSize> header = write_vnet_header(offload);
  iovec vectors[1 + kMaxGroupSegments];
  vectors[0] = {header.data(), header.size()};
  int count = 1;
  for (const ByteView& part : parts)
    vectors[count++] = {const_cast<Byte*>(part.data()), part.size()};
  while (::writev(fd_.get(), vectors, count) < 0) {
    if (errno == EINTR) continue;
    refused_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
}

}  // namespace ntm::datapath
