// See link.hpp.
#include "libntm/datapath/tun/link.hpp"

#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

namespace ntm::datapath {
namespace {

// Packets that wait for the outbound thread. The default of 500 is 3 ms of small packets: less than
// the thread may have to wait for a processor.
constexpr std::uint32_t kQueueLength = 1000;

template <typename T>
void append(Bytes& out, const T& value) {
  const Byte* at = reinterpret_cast<const Byte*>(&value);
  out.insert(out.end(), at, at + sizeof(T));
}

void append_attribute(Bytes& out, std::uint16_t type, ByteView value) {
  rtattr header{};
  header.rta_type = type;
  header.rta_len = static_cast<unsigned short>(RTA_LENGTH(value.size()));
  append(out, header);
  out.insert(out.end(), value.begin(), value.end());
  out.resize(NLMSG_ALIGN(out.size()));
}

ByteView view_of(const std::uint32_t& value) {
  return {reinterpret_cast<const Byte*>(&value), sizeof(value)};
}

Byte system_family(const IpAddress& address) { return address.is_v4() ? AF_INET : AF_INET6; }

}  // namespace

Result<Link> Link::open(std::uint32_t index) {
  Link out;
  out.fd_.reset(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!out.fd_)
    return fail(ErrorKind::Unavailable,
                "opening rtnetlink failed: " + host::system_error_text(errno));
  out.index_ = index;
  return out;
}

Result<void> Link::request(Bytes message, std::uint16_t type, std::uint16_t flags,
                           const char* what) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(sizeof(header) + message.size());
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  header.nlmsg_seq = ++sequence_;
  Bytes whole;
  append(whole, header);
  whole.insert(whole.end(), message.begin(), message.end());
  if (::send(fd_.get(), whole.data(), whole.size(), 0) < 0)
    return fail(ErrorKind::Unavailable,
                std::string(what) + " failed: " + host::system_error_text(errno));
  alignas(nlmsghdr) Byte answer[4096];
  ssize_t size = ::recv(fd_.get(), answer, sizeof(answer), 0);
  const nlmsghdr* reply = reinterpret_cast<const nlmsghdr*>(answer);
  if (size < static_cast<ssize_t>(sizeof(nlmsghdr) + sizeof(nlmsgerr)) ||
      reply->nlmsg_type != NLMSG_ERROR)
    return fail(ErrorKind::Unavailable, std::string(what) + " failed: no answer from rtnetlink");
  int error = -reinterpret_cast<const nlmsgerr*>(answer + sizeof(nlmsghdr))->error;
  if (error == 0) return {};
  if (error == EPERM)
    return fail(ErrorKind::Denied, std::string(what) +
                                       " needs CAP_NET_ADMIN: run as root or grant the capability");
  return fail(ErrorKind::Unavailable,
              std::string(what) + " failed: " + host::system_error_text(error));
}

Result<void> Link::up(std::uint16_t mtu) {
  ifinfomsg info{};
  info.ifi_family = AF_UNSPEC;
  info.ifi_index = static_cast<int>(index_);
  info.ifi_flags = IFF_UP;
  info.ifi_change = IFF_UP;
  Bytes message;
  append(message, info);
  append_attribute(message, IFLA_MTU, view_of(std::uint32_t{mtu}));
  append_attribute(message, IFLA_TXQLEN, view_of(kQueueLength));
  return request(std::move(message), RTM_NEWLINK, 0, "setting up the virtual interface");
}

Result<void> Link::address(const IpAddress& address, std::uint16_t type, std::uint16_t flags) {
  ifaddrmsg info{};
  info.ifa_family = system_family(address);
  info.ifa_prefixlen = address.is_v4() ? 32 : 128;
  info.ifa_flags = address.is_v6() ? IFA_F_NODAD : 0;
  info.ifa_scope = RT_SCOPE_UNIVERSE;
  info.ifa_index = index_;
  Bytes message;
  append(message, info);
  append_attribute(message, IFA_LOCAL, address.view());
  append_attribute(message, IFA_ADDRESS, address.view());
  return request(std::move(message), type, flags, "changing an address of the virtual interface");
}

Result<void> Link::add_address(const IpAddress& address_in) {
  return address(address_in, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
}
Result<void> Link::remove_address(const IpAddress& address_in) {
  return address(address_in, RTM_DELADDR, 0);
}

Result<void> Link::route(const Prefix& prefix, std::uint16_t type, std::uint16_t flags) {
  rtmsg info{};
  info.rtm_family = system_family(prefix.address);
  info.rtm_dst_len = prefix.length;
  info.rtm_table = RT_TABLE_MAIN;
  info.rtm_protocol = RTPROT_STATIC;
  info.rtm_scope = prefix.address.is_v4() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  info.rtm_type = RTN_UNICAST;
  Bytes message;
  append(message, info);
  append_attribute(message, RTA_DST, prefix.address.view());
  append_attribute(message, RTA_OIF, view_of(index_));
  return request(std::move(message), type, flags, "changing a route into the virtual interface");
}

Result<void> Link::add_route(const Prefix& prefix) {
  return route(prefix, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
}
Result<void> Link::remove_route(const Prefix& prefix) { return route(prefix, RTM_DELROUTE, 0); }

}  // namespace ntm::datapath
