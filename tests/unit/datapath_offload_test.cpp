// Segmenter, coalescer, checksum, virtio-net header, MSS clamp, ICMP: the packet work of the
// datapath, checked against packets built whole by the test.
#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "libntm/datapath/coalescer.hpp"
#include "libntm/datapath/icmp.hpp"
#include "libntm/datapath/segmenter.hpp"
#include "tests/unit/datapath_packets.hpp"

namespace ntm::datapath {
namespace {

using testing::checksum_ok;
using testing::Tcp;
using testing::tcp_packet;
using testing::udp_packet;

IpAddress v4(std::uint32_t host) { return Ipv4::from_u32(0xc6120000 + host); }
IpAddress v6(Byte host) {
  Ipv6 out{{0xfd, 1}};
  out.raw[15] = host;
  return out;
}

// The sum as RFC 1071 states it, word by word.
std::uint16_t slow_sum(ByteView bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2)
    sum += (bytes[i] << 8) | (i + 1 < bytes.size() ? bytes[i + 1] : 0);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

TEST(Checksum, AgreesWithTheDefinitionAtEveryLength) {
  std::mt19937 random(7);
  for (std::size_t size = 0; size < 300; ++size) {
    Bytes bytes(size);
    for (Byte& b : bytes) b = static_cast<Byte>(random());
    Byte field[2];
    store_sum(field, fold(add_bytes(0, bytes)));
    EXPECT_EQ(get_u16(field), slow_sum(bytes)) << size;
  }
}

TEST(Checksum, SumsOfPartsAddUp) {
  Bytes bytes(1000, 0xfe);
  std::uint64_t whole = add_bytes(0, bytes);
  std::uint64_t parts = add_bytes(add_bytes(0, ByteView(bytes).first(444)),
                                  ByteView(bytes).subspan(444));
  EXPECT_EQ(fold(whole), fold(parts));
}

TEST(Checksum, ReplaceWordKeepsAPacketRight) {
  Bytes packet = tcp_packet(v4(1), v4(2), {.payload = 33});
  ASSERT_TRUE(checksum_ok(packet));
  Byte* window = &packet[20 + 14];
  std::uint16_t before = load_sum(window);
  put_u16(window, 0x1234);
  ASSERT_FALSE(checksum_ok(packet));
  Byte* sum = &packet[20 + 16];
  store_sum(sum, replace_word(load_sum(sum), before, load_sum(window)));
  EXPECT_TRUE(checksum_ok(packet));
}

// ---- super-packets -----------------------------------------------------------------------------

// What the kernel hands over: one header, all payload, the field holding the pseudo-header sum.
struct Super {
  Bytes packet;
  InnerPacket info;
  Offload offload;
};
Super super_tcp(const IpAddress& a, const IpAddress& b, Tcp tcp, std::uint16_t mss) {
  Super out;
  out.packet = tcp_packet(a, b, tcp);
  out.info = *parse_inner(out.packet);
  std::size_t start = out.info.header_length;
  store_sum(&out.packet[start + 16],
            fold(pseudo_header_sum(a.view(), b.view(), kProtocolTcp,
                                   static_cast<std::uint32_t>(out.packet.size() - start))));
  out.offload.gso = a.is_v4() ? Gso::Tcp4 : Gso::Tcp6;
  out.offload.needs_checksum = true;
  out.offload.segment_size = mss;
  out.offload.checksum_start = static_cast<std::uint16_t>(start);
  out.offload.checksum_offset = 16;
  out.offload.header_length = static_cast<std::uint16_t>(start + 20 + tcp.options.size());
  return out;
}

class BothFamilies : public ::testing::TestWithParam<bool> {
 protected:
  IpAddress a() const { return GetParam() ? v6(1) : v4(1); }
  IpAddress b() const { return GetParam() ? v6(2) : v4(2); }
};
INSTANTIATE_TEST_SUITE_P(Datapath, BothFamilies, ::testing::Bool(),
                         [](const ::testing::TestParamInfo<bool>& family) {
                           return family.param ? "V6" : "V4";
                         });

TEST_P(BothFamilies, SegmentsAreWhatTheStackWouldHaveSent) {
  const Byte fin_push_ack_cwr = 0x99;
  Super s = super_tcp(a(), b(), {.flags = fin_push_ack_cwr, .options = Bytes(12, 1),
                                 .payload = 3500}, 1000);
  Segmenter segments(s.packet, s.info, s.offload);
  ASSERT_EQ(segments.count(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    Bytes got(segments.size(i));
    EXPECT_FALSE(segments.write(i, got.data(), false));
    EXPECT_TRUE(checksum_ok(got)) << i;
    Byte flags = fin_push_ack_cwr;
    if (i != 3) flags &= static_cast<Byte>(~0x09);
    if (i != 0) flags &= 0x7f;
    // The builder fills payload from the sequence number, so each piece can be built on its own.
    Bytes want = tcp_packet(a(), b(), {.sequence = static_cast<std::uint32_t>(1000 + 1000 * i),
                                       .flags = flags, .options = Bytes(12, 1),
                                       .payload = i == 3 ? 500u : 1000u});
    if (a().is_v4()) {
      EXPECT_EQ(get_u16(&got[4]), i);
      put_u16(&got[4], 0);
      set_ipv4_checksum(got.data(), 20);
    }
    EXPECT_EQ(got, want) << i;
  }
}

TEST_P(BothFamilies, PartialSumIsCompletedByTheOtherEnd) {
  Super s = super_tcp(a(), b(), {.payload = 2500}, 1000);
  Segmenter segments(s.packet, s.info, s.offload);
  for (std::size_t i = 0; i < segments.count(); ++i) {
    Bytes got(segments.size(i));
    ASSERT_TRUE(segments.write(i, got.data(), true));
    EXPECT_FALSE(checksum_ok(got));
    complete_checksum(got, s.info.header_length, 16);
    EXPECT_TRUE(checksum_ok(got));
  }
}

TEST_P(BothFamilies, UdpSuperPacketIsSplit) {
  Super s;
  s.packet = udp_packet(a(), b(), 2500, 9);
  s.info = *parse_inner(s.packet);
  std::size_t start = s.info.header_length;
  s.offload = {Gso::Udp, false, true, false, 1000, static_cast<std::uint16_t>(start + 8),
               static_cast<std::uint16_t>(start), 6};
  Segmenter segments(s.packet, s.info, s.offload);
  ASSERT_EQ(segments.count(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    Bytes got(segments.size(i));
    (void)segments.write(i, got.data(), false);
    EXPECT_TRUE(checksum_ok(got));
    EXPECT_EQ(get_u16(&got[start + 4]), i == 2 ? 508 : 1008);
  }
}

class Sink final : public InnerSink {
 public:
  void write(const Offload& offload, std::span<const ByteView> parts) override {
    Bytes whole;
    for (const ByteView& part : parts) whole.insert(whole.end(), part.begin(), part.end());
    packets.push_back(whole);
    offloads.push_back(offload);
  }
  std::vector<Bytes> packets;
  std::vector<Offload> offloads;
};

InnerDelivery delivery(Bytes& packet, bool partial = false) {
  return {packet, *parse_inner(packet), partial};
}

// Splitting and merging are inverse, with full and with partial sums.
TEST_P(BothFamilies, MergingUndoesSplitting) {
  for (bool partial : {false, true}) {
    Super s = super_tcp(a(), b(), {.flags = 0x18, .options = Bytes(12, 1), .payload = 20500}, 1000);
    Segmenter segments(s.packet, s.info, s.offload);
    std::vector<Bytes> pieces;
    for (std::size_t i = 0; i < segments.count(); ++i) {
      pieces.emplace_back(segments.size(i));
      (void)segments.write(i, pieces.back().data(), partial);
    }
    Coalescer coalescer({true, true});
    for (Bytes& piece : pieces) coalescer.add(delivery(piece, partial));
    Sink sink;
    coalescer.flush(sink);
    ASSERT_EQ(sink.packets.size(), 1u);
    EXPECT_EQ(sink.packets[0], s.packet);
    EXPECT_EQ(sink.offloads[0].gso, s.offload.gso);
    EXPECT_EQ(sink.offloads[0].segment_size, 1000);
    EXPECT_EQ(sink.offloads[0].header_length, s.offload.header_length);
    EXPECT_TRUE(sink.offloads[0].needs_checksum);
    // What the kernel gets passes our own check of such headers.
    std::array<Byte, kVnetHeaderSize> header = write_vnet_header(sink.offloads[0]);
    std::optional<InnerPacket> info = parse_inner(sink.packets[0]);
    EXPECT_TRUE(info && read_vnet_header(header, sink.packets[0], *info));
  }
}

struct Stream {
  Coalescer coalescer{{true, true}};
  std::deque<Bytes> memory;
  Sink sink;
  void add(Bytes packet, bool partial = false) {
    memory.push_back(std::move(packet));
    coalescer.add(delivery(memory.back(), partial));
  }
  std::vector<std::size_t> sizes() {
    coalescer.flush(sink);
    std::vector<std::size_t> out;
    for (const Bytes& packet : sink.packets) out.push_back(packet.size());
    return out;
  }
};

TEST(Coalescer, EndsAGroupAtPushAndAtAShorterSegment) {
  Stream s;
  s.add(tcp_packet(v4(1), v4(2), {.sequence = 0, .payload = 100}));
  s.add(tcp_packet(v4(1), v4(2), {.sequence = 100, .flags = 0x18, .payload = 100}));
  s.add(tcp_packet(v4(1), v4(2), {.sequence = 200, .payload = 100}));
  s.add(tcp_packet(v4(1), v4(2), {.sequence = 300, .payload = 50}));
  s.add(tcp_packet(v4(1), v4(2), {.sequence = 350, .payload = 100}));
  EXPECT_EQ(s.sizes(), (std::vector<std::size_t>{240, 190, 140}));
}

TEST(Coalescer, LeavesAloneWhatDiffers) {
  struct Row {
    const char* what;
    Tcp second;
  };
  const Row rows[] = {
      {"gap", {.sequence = 101, .payload = 100}},
      {"other acknowledgement", {.sequence = 100, .ack = 5001, .payload = 100}},
      {"other port", {.sequence = 100, .source_port = 7, .payload = 100}},
      {"other options", {.sequence = 100, .options = Bytes(4, 1), .payload = 100}},
      {"longer", {.sequence = 100, .payload = 101}},
      {"FIN", {.sequence = 100, .flags = 0x11, .payload = 100}},
      {"CWR", {.sequence = 100, .flags = 0x90, .payload = 100}},
      {"empty", {.sequence = 100, .payload = 0}},
  };
  for (const Row& row : rows) {
    Stream s;
    s.add(tcp_packet(v4(1), v4(2), {.sequence = 0, .payload = 100}));
    s.add(tcp_packet(v4(1), v4(2), row.second));
    EXPECT_EQ(s.sizes().size(), 2u) << row.what;
  }
}

TEST(Coalescer, OtherClassOrHopLimitOrDfStaysApart) {
  for (std::size_t byte : {1u, 6u, 8u}) {
    Stream s;
    s.add(tcp_packet(v4(1), v4(2), {.sequence = 0, .payload = 100}));
    Bytes second = tcp_packet(v4(1), v4(2), {.sequence = 100, .payload = 100});
    second[byte] ^= byte == 6 ? 0x40 : 0x08;
    s.add(second);
    EXPECT_EQ(s.sizes().size(), 2u) << byte;
  }
}

TEST(Coalescer, TwoFlowsMergeSideBySideAndKeepTheirOrder) {
  Stream s;
  for (std::uint32_t i = 0; i < 4; ++i) {
    s.add(tcp_packet(v4(1), v4(2), {.sequence = i * 100, .payload = 100}));
    s.add(tcp_packet(v4(3), v4(2), {.sequence = i * 200, .payload = 200}));
    s.add(udp_packet(v4(1), v4(2), 60));
  }
  EXPECT_EQ(s.sizes(), (std::vector<std::size_t>{440, 840, 28 + 240}));
}

TEST(Coalescer, NeverAppendsBehindALaterPacketOfTheFlow) {
  Stream s;
  s.add(udp_packet(v4(1), v4(2), 60));
  s.add(udp_packet(v4(1), v4(2), 80));  // longer: a new group
  s.add(udp_packet(v4(1), v4(2), 60));  // would fit the first, must follow the second
  EXPECT_EQ(s.sizes(), (std::vector<std::size_t>{88, 28 + 140}));
}

TEST(Coalescer, StaysInsideTheLimits) {
  Stream s;
  for (std::uint32_t i = 0; i < 100; ++i)
    s.add(tcp_packet(v4(1), v4(2), {.sequence = i * 1360, .payload = 1360}));
  for (std::size_t size : s.sizes()) EXPECT_LE(size, 65535u);
  Stream small;
  for (std::uint32_t i = 0; i < 100; ++i)
    small.add(tcp_packet(v4(1), v4(2), {.sequence = i, .payload = 1}));
  EXPECT_EQ(small.sizes(), (std::vector<std::size_t>{40 + 64, 40 + 36}));
}

TEST(Coalescer, UdpWithoutChecksumAndFragmentsStayAsTheyAre) {
  Bytes none = udp_packet(v4(1), v4(2), 60);
  put_u16(&none[26], 0);
  Bytes fragment = udp_packet(v4(1), v4(2), 60);
  fragment[6] = 0x20;
  Stream s;
  s.add(none);
  s.add(none);
  s.add(fragment);
  s.add(fragment);
  EXPECT_EQ(s.sizes().size(), 4u);
  EXPECT_EQ(s.sink.packets[0], none);
}

// ---- the virtio-net header ---------------------------------------------------------------------

TEST(VnetHeader, RefusesWhatContradictsThePacket) {
  Super s = super_tcp(v4(1), v4(2), {.payload = 3000}, 1000);
  std::array<Byte, kVnetHeaderSize> good = write_vnet_header(s.offload);
  ASSERT_TRUE(read_vnet_header(good, s.packet, s.info));
  struct Row {
    const char* what;
    std::size_t at;
    Byte value;
  };
  const Row rows[] = {{"TCPv6 on IPv4", 1, 4},       {"UDP on TCP", 1, 5},
                      {"UFO", 1, 3},                 {"unknown type", 1, 9},
                      {"no checksum flag", 0, 0},    {"checksum past the end", 7, 0xff},
                      {"wrong checksum field", 8, 6}, {"checksum in the IP header", 6, 4}};
  for (const Row& row : rows) {
    std::array<Byte, kVnetHeaderSize> bad = good;
    bad[row.at] = row.value;
    EXPECT_FALSE(read_vnet_header(bad, s.packet, s.info)) << row.what;
  }
  std::array<Byte, kVnetHeaderSize> zero = good;
  zero[4] = zero[5] = 0;
  EXPECT_FALSE(read_vnet_header(zero, s.packet, s.info)) << "segment size zero";
}

TEST(VnetHeader, DerivesTheHeaderLengthInsteadOfBelievingIt) {
  Super s = super_tcp(v6(1), v6(2), {.options = Bytes(12, 1), .payload = 3000}, 1000);
  Offload claimed = s.offload;
  claimed.header_length = 3072;
  std::optional<Offload> read =
      read_vnet_header(write_vnet_header(claimed), s.packet, s.info);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->header_length, 40 + 20 + 12);
}

// ---- MSS, ICMP ---------------------------------------------------------------------------------

TEST_P(BothFamilies, ClampsTheMssOfASynOnly) {
  std::uint16_t headers = a().is_v4() ? 40 : 60;
  for (Bytes options : {Bytes{2, 4, 0x05, 0xb4}, Bytes{1, 2, 4, 0x05, 0xb4, 1, 1, 1}}) {
    Bytes syn = tcp_packet(a(), b(), {.flags = 0x02, .options = options});
    std::optional<InnerPacket> info = parse_inner(syn);
    EXPECT_TRUE(clamp_mss(syn, *info, 1280, false));
    EXPECT_TRUE(checksum_ok(syn));
    std::size_t at = info->header_length + 20 + (options[0] == 1 ? 3 : 2);
    EXPECT_EQ(get_u16(&syn[at]), 1280 - headers);
    EXPECT_FALSE(clamp_mss(syn, *info, 1400, false)) << "never raised";
  }
  Bytes data = tcp_packet(a(), b(), {.options = {2, 4, 0x05, 0xb4}});
  EXPECT_FALSE(clamp_mss(data, *parse_inner(data), 1280, false));
}

TEST(InnerPacket, BrokenOptionsAreLeftAlone) {
  for (Bytes options : {Bytes{2, 0, 0, 0}, Bytes{2, 40, 0, 0}, Bytes{9, 1, 0, 0}}) {
    Bytes syn = tcp_packet(v4(1), v4(2), {.flags = 0x02, .options = options});
    Bytes before = syn;
    EXPECT_FALSE(clamp_mss(syn, *parse_inner(syn), 1280, false));
    EXPECT_EQ(syn, before);
  }
}

TEST(InnerPacket, LengthsMustAgree) {
  Bytes packet = udp_packet(v4(1), v4(2), 10);
  EXPECT_TRUE(parse_inner(packet));
  Bytes longer = packet;
  longer.push_back(0);
  EXPECT_FALSE(parse_inner(longer));
  for (std::size_t size = 0; size < packet.size(); ++size)
    EXPECT_FALSE(parse_inner(ByteView(packet).first(size)));
  packet[0] = 0x44;
  EXPECT_FALSE(parse_inner(packet)) << "header length below 20";
}

TEST_P(BothFamilies, IcmpErrorsQuoteAndAreWellFormed) {
  Bytes packet = udp_packet(a(), b(), 1300);
  for (bool too_big : {false, true}) {
    std::optional<Bytes> error = too_big ? make_too_big(packet, 1280) : make_unreachable(packet);
    ASSERT_TRUE(error);
    EXPECT_TRUE(checksum_ok(*error));
    std::optional<InnerPacket> info = parse_inner(*error);
    EXPECT_EQ(info->destination, a());
    ByteView icmp = ByteView(*error).subspan(info->header_length);
    EXPECT_EQ(icmp[0], a().is_v4() ? 3 : too_big ? 2 : 1);
    if (too_big) {
      EXPECT_EQ(get_u32(&icmp[4]), 1280u);
    }
    EXPECT_TRUE(equal(icmp.subspan(8), ByteView(packet).first(icmp.size() - 8)));
    EXPECT_FALSE(make_unreachable(*error)) << "no error about an error";
  }
}

}  // namespace
}  // namespace ntm::datapath
