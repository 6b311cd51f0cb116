// Dispatch by type byte; nothing here knows a field.
#include "tests/vectors/any_datagram.hpp"

namespace ntm::tests {

namespace {

template <typename T>
Result<Datagram> lift(Result<T> decoded) {
  if (!decoded) return pass(decoded.error());
  return Datagram(std::move(*decoded));
}

Result<Datagram> decode_record(ByteView bytes) {
  Result<wire::RecordHeader> header = wire::decode_record_header(bytes);
  if (!header) return pass(header.error());
  return Datagram(Record{*header, to_bytes(bytes.subspan(wire::kRecordHeader))});
}

Result<Datagram> decode_tunnel(ByteView bytes) {
  Result<wire::TunnelMessage> message = wire::decode_tunnel_message(bytes);
  if (!message) return pass(message.error());
  return Datagram(Tunnel{std::move(*message), to_bytes(bytes.last(wire::kTunnelMac))});
}

struct Encoder {
  Bytes operator()(const Record& m) const {
    std::array<Byte, wire::kRecordHeader> header = wire::encode(m.header);
    return Writer().bytes(header).bytes(m.sealed).take();
  }
  Bytes operator()(const Tunnel& m) const {
    return Writer().bytes(wire::encode_without_mac(m.message)).bytes(m.mac).take();
  }
  template <typename T>
  Bytes operator()(const T& m) const {
    return wire::encode(m);
  }
};

}  // namespace

Result<Datagram> decode_datagram(ByteView bytes) {
  std::optional<wire::DatagramType> type = wire::datagram_type(bytes);
  if (!type) return invalid("no datagram of ours");
  switch (*type) {
    case wire::DatagramType::Data:
    case wire::DatagramType::Control: return decode_record(bytes);
    case wire::DatagramType::TunnelRequest:
    case wire::DatagramType::TunnelResponse: return decode_tunnel(bytes);
    case wire::DatagramType::TunnelHint: return lift(wire::decode_tunnel_hint(bytes));
    case wire::DatagramType::HandshakeInit: return lift(wire::decode_handshake_init(bytes));
    case wire::DatagramType::HandshakeResponse:
      return lift(wire::decode_handshake_response(bytes));
    case wire::DatagramType::Cookie: return lift(wire::decode_cookie(bytes));
    case wire::DatagramType::ControlHint: return lift(wire::decode_control_hint(bytes));
    case wire::DatagramType::Notice: return lift(wire::decode_notice(bytes));
  }
  return invalid("no datagram of ours");
}

Bytes encode_datagram(const Datagram& datagram) { return std::visit(Encoder{}, datagram); }

}  // namespace ntm::tests
