// TLV bodies of control messages (type u8, length u16): one writer, and one reader that enforces
// the common rules: unknown types with the high bit clear are skipped, with it set refused; type 0
// is padding; a single TLV may not stand twice; every value is consumed exactly.
#pragma once

#include <bitset>
#include <optional>

#include "libntm/base/address.hpp"
#include "libntm/base/bytes.hpp"
#include "libntm/base/name.hpp"
#include "libntm/wire/control.hpp"

namespace ntm::wire {

class TlvWriter {
 public:
  // Room for the longest message that fits a datagram: a buffer that grows leaves copies of leg
  // keys and path secrets behind in freed memory.
  explicit TlvWriter(MessageKind kind) : out_(kMaxControlDatagram) {
    out_.u8(static_cast<Byte>(kind));
  }
  Writer& begin(std::uint8_t type) {
    out_.u8(type);
    length_at_ = out_.size();
    return out_.u16(0);
  }
  void end() {
    out_.patch_u16(length_at_, static_cast<std::uint16_t>(out_.size() - length_at_ - 2));
  }
  void u8(std::uint8_t type, std::uint8_t value) { begin(type).u8(value); end(); }
  void u16(std::uint8_t type, std::uint16_t value) { begin(type).u16(value); end(); }
  void u32(std::uint8_t type, std::uint32_t value) { begin(type).u32(value); end(); }
  void u64(std::uint8_t type, std::uint64_t value) { begin(type).u64(value); end(); }
  void bytes(std::uint8_t type, ByteView value) { begin(type).bytes(value); end(); }
  void name(std::uint8_t type, const Name& value) { bytes(type, value.wire()); }
  void address(std::uint8_t type, const IpAddress& value) { bytes(type, value.view()); }
  void endpoint(std::uint8_t type, const Endpoint& value) {
    begin(type).bytes(value.address.view()).u16(value.port);
    end();
  }
  void prefix(std::uint8_t type, const Prefix& value) {
    begin(type).u8(value.length).bytes(value.address.view());
    end();
  }
  void locator(std::uint8_t type, const Locator& value) {
    begin(type).u8(static_cast<Byte>(value.kind)).u16(value.metric);
    out_.bytes(value.endpoint.address.view()).u16(value.endpoint.port);
    end();
  }
  Bytes take() { return out_.take(); }

 private:
  Writer out_;
  std::size_t length_at_ = 0;
};

// Iterates the TLVs after the kind byte. Use:
//   TlvReader in(body); while (in.next()) switch (in.type()) { case kX: v = in.value().u64(); ... }
// then in.finish(mandatory types).
class TlvReader {
 public:
  explicit TlvReader(ByteView body) : body_(body), value_(ByteView{}) {}

  bool next() {
    if (started_ && !skipping_ && !value_.finish()) failed_ = true;
    while (!failed_ && body_.ok() && body_.left() > 0) {
      type_ = body_.u8();
      std::size_t length = body_.u16();
      value_ = Reader(body_.bytes(length));
      if (!body_.ok()) break;
      started_ = true;
      skipping_ = false;
      if (type_ == 0) {
        skipping_ = true;
        continue;
      }
      return true;
    }
    return false;
  }
  std::uint8_t type() const { return type_; }
  Reader& value() { return value_; }

  // Marks a TLV that may stand once.
  void once() {
    if (seen_[type_]) failed_ = true;
    seen_[type_] = true;
  }
  void many() { seen_[type_] = true; }
  void unknown() {
    if (type_ & 0x80) failed_ = true;
    skipping_ = true;
  }
  void fail() { failed_ = true; }
  bool seen(std::uint8_t type) const { return seen_[type]; }
  bool finish(std::initializer_list<std::uint8_t> mandatory) const {
    if (failed_ || !body_.finish()) return false;
    for (std::uint8_t type : mandatory)
      if (!seen_[type]) return false;
    return true;
  }

  // Typed values; a wrong form fails the whole message.
  Name name() {
    Result<Name> out = Name::from_wire(value_.bytes(value_.left()));
    if (!out) failed_ = true;
    return out ? *out : Name{};
  }
  IpAddress address() { return sized_address(value_.left()); }
  Endpoint endpoint() {
    Endpoint out;
    if (value_.left() < 2) failed_ = true;
    else out.address = sized_address(value_.left() - 2);
    out.port = value_.u16();
    return out;
  }
  Prefix prefix() {
    Prefix out;
    out.length = value_.u8();
    out.address = sized_address(value_.left());
    std::size_t bits = out.address.view().size() * 8;
    if (out.length > bits) failed_ = true;
    for (std::size_t bit = out.length; bit < bits; ++bit)
      if (out.address.view()[bit / 8] & (0x80 >> (bit % 8))) failed_ = true;
    return out;
  }
  Locator locator() {
    Locator out;
    std::uint8_t kind = value_.u8();
    if (kind > 3) failed_ = true;
    out.kind = static_cast<InterfaceKind>(kind & 3);
    out.metric = value_.u16();
    out.endpoint = endpoint();
    return out;
  }
  bool boolean() {
    std::uint8_t v = value_.u8();
    if (v > 1) failed_ = true;
    return v == 1;
  }
  // An enum with values 0..last.
  template <typename E>
  E enumeration(E last) {
    std::uint8_t v = value_.u8();
    if (v > static_cast<std::uint8_t>(last)) {
      failed_ = true;
      return E{};
    }
    return static_cast<E>(v);
  }
  PublicKey public_key() { return PublicKey{value_.array<32>()}; }
  PathId path() {
    PathId out{value_.u64()};
    if (out.is_zero()) failed_ = true;
    return out;
  }
  Key16 key16() { return secret<16>(); }
  Key32 key32() { return secret<32>(); }

 private:
  // Straight from the input: an array in between would stay on the stack unwiped.
  template <std::size_t N>
  Secret<N> secret() {
    ByteView view = value_.bytes(N);
    if (view.size() == N) return Secret<N>::from(view);
    failed_ = true;
    return {};
  }
  IpAddress sized_address(std::size_t size) {
    if (size == 4) return Ipv4{value_.array<4>()};
    if (size == 16) return Ipv6{value_.array<16>()};
    failed_ = true;
    return {};
  }
  Reader body_;
  Reader value_;
  std::uint8_t type_ = 0;
  bool failed_ = false;
  bool started_ = false;
  bool skipping_ = false;
  std::bitset<256> seen_;
};

// One pair a message; control.cpp dispatches.
Bytes encode_body(const KeepAlive& m);
Bytes encode_body(const RegistrationRequest& m);
Bytes encode_body(const RegistrationResponse& m);
Bytes encode_body(const DirectionRequest& m);
Bytes encode_body(const RelayDirection& m);
Bytes encode_body(const RelayResponse& m);
Bytes encode_body(const RouteDirection& m);
Bytes encode_body(const RouteAck& m);
Bytes encode_body(const DirectionError& m);
Bytes encode_body(const PathRevoke& m);
Bytes encode_body(const RelayAttach& m);
Bytes encode_body(const RelayAttachResponse& m);
Bytes encode_body(const RelayStatus& m);
Bytes encode_body(const PeerName& m);

Result<ControlMessage> decode_keep_alive(ByteView body);
Result<ControlMessage> decode_registration_request(ByteView body);
Result<ControlMessage> decode_registration_response(ByteView body);
Result<ControlMessage> decode_direction_request(ByteView body);
Result<ControlMessage> decode_relay_direction(ByteView body);
Result<ControlMessage> decode_relay_response(ByteView body);
Result<ControlMessage> decode_route_direction(ByteView body);
Result<ControlMessage> decode_route_ack(ByteView body);
Result<ControlMessage> decode_direction_error(ByteView body);
Result<ControlMessage> decode_path_revoke(ByteView body);
Result<ControlMessage> decode_relay_attach(ByteView body);
Result<ControlMessage> decode_relay_attach_response(ByteView body);
Result<ControlMessage> decode_relay_status(ByteView body);
Result<ControlMessage> decode_peer_name(ByteView body);

}  // namespace ntm::wire
