// Identity, state, configuration and the system's DNS files of the terminal.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "libntm/crypto/key_schedule.hpp"
#include "libntm/host/clock.hpp"
#include "libntm/host/files.hpp"
#include "terminal/identity.hpp"
#include "terminal/state_file.hpp"

namespace ntm::terminal {
namespace {

Name name(const char* text) { return Name::parse(text).value(); }

class TerminalFiles : public ::testing::Test {
 protected:
  TerminalFiles() {
    char pattern[] = "/tmp/ntm-terminal-files-XXXXXX";
    root = ::mkdtemp(pattern);
    folders.config = root + "/etc";
    folders.state = root + "/state";
    folders.run = root + "/run";
  }
  ~TerminalFiles() override { (void)!::system(("rm -rf " + root).c_str()); }
  void write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
  }
  unsigned mode_of(const std::string& path) {
    struct stat s {};
    EXPECT_EQ(::stat(path.c_str(), &s), 0) << path;
    return s.st_mode & 0777;
  }
  std::string token(const char* subject) {
    wire::EnrolmentToken t;
    t.zone = name("a.example");
    t.subject = name(subject);
    t.dc_key.raw[3] = 7;
    t.dc_endpoints = {parse_endpoint("192.0.2.1:4753").value(),
                      parse_endpoint("[2001:db8::1]:4753").value()};
    t.id = {99};
    random.fill(t.secret.span());
    return crypto::token_text(t);
  }
  std::string root;
  Folders folders;
  host::SystemRandom random;
};

TEST_F(TerminalFiles, JoinMakesKeysThatNobodyElseCanRead) {
  Result<Identity> made = create_identity(folders, token("mn.a.example"), false, random);
  ASSERT_TRUE(made) << made.error().text;
  for (const char* file : {"/terminal.key", "/reset.key", "/identity.json"})
    EXPECT_EQ(mode_of(folders.state + file), 0600u) << file;
  EXPECT_EQ(made->name, name("mn.a.example"));
  EXPECT_EQ(made->dc_endpoints.size(), 2u);
  ASSERT_TRUE(made->token);
  Result<Identity> again = load_identity(folders);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->key.public_key, made->key.public_key);
  EXPECT_TRUE(read_configuration(folders)) << "the written configuration must be valid";
}

TEST_F(TerminalFiles, JoinTwiceIsRefusedUnlessAskedFor) {
  PublicKey first = create_identity(folders, token("mn.a.example"), false, random)->key.public_key;
  Result<Identity> second = create_identity(folders, token("mn.a.example"), false, random);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::Conflict);
  // The same name keeps its key; another name gets another one.
  EXPECT_EQ(create_identity(folders, token("mn.a.example"), true, random)->key.public_key, first);
  EXPECT_NE(create_identity(folders, token("xx.a.example"), true, random)->key.public_key, first);
}

TEST_F(TerminalFiles, WrongTokenChangesNothing) {
  EXPECT_FALSE(create_identity(folders, "ntm1abcdef", false, random));
  EXPECT_FALSE(host::exists(folders.state));
  Result<Identity> none = load_identity(folders);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::NotFound);
  EXPECT_NE(none.error().text.find("ntm join"), std::string::npos);
}

TEST_F(TerminalFiles, UsedTokenIsForgotten) {
  ASSERT_TRUE(create_identity(folders, token("mn.a.example"), false, random));
  ASSERT_TRUE(forget_token(folders));
  EXPECT_FALSE(load_identity(folders)->token);
  ASSERT_TRUE(forget_token(folders));  // twice is the same
}

TEST_F(TerminalFiles, WrongKeyFilesAreOneClearLine) {
  ASSERT_TRUE(create_identity(folders, token("mn.a.example"), false, random));
  std::string key = folders.state + "/terminal.key";
  ASSERT_EQ(::chmod(key.c_str(), 0644), 0);
  EXPECT_NE(load_identity(folders).error().text.find("chmod 600"), std::string::npos);
  ASSERT_EQ(::chmod(key.c_str(), 0600), 0);
  write(key, "short");
  EXPECT_FALSE(load_identity(folders));
  write(folders.state + "/identity.json", "{");
  EXPECT_NE(load_identity(folders).error().text.find("damaged"), std::string::npos);
}

TEST_F(TerminalFiles, StateComesBackAsItWas) {
  ASSERT_TRUE(host::make_folder(folders.state, 0700));
  EXPECT_EQ(load_state(folders.state).value(), SavedState{});
  SavedState s;
  s.counter_reserved = 0x123456789abcdefull;
  s.enrolled = true;
  s.own = {parse_address("198.18.16.1")->v4(), parse_address("fd12::1")->v6()};
  s.zone_virtual6 = parse_prefix("fd12::/48").value();
  s.zone_pools4 = {parse_prefix("198.18.16.0/20").value()};
  s.port4 = 40000;
  SavedPeer peer;
  peer.zone = name("b.example");
  peer.key.raw[0] = 5;
  peer.next_key = PublicKey{};
  peer.virtual_addresses.v6 = parse_address("fdbb::5")->v6();
  s.peers[name("odd\\.label.b.example")] = peer;
  s.zones[name("b.example")] = parse_prefix("fdbb::/48").value();
  ASSERT_TRUE(store_state(folders.state, s));
  EXPECT_EQ(load_state(folders.state).value(), s);
  EXPECT_EQ(mode_of(folders.state + "/state.json"), 0600u);
}

TEST_F(TerminalFiles, DamagedStateIsRefused) {
  ASSERT_TRUE(host::make_folder(folders.state, 0700));
  for (const char* text : {"", "{", "[]", R"({"counter_reserved": "x"})",
                           R"({"counter_reserved":1,"enrolled":true,"own":{"v4":"999.1.1.1"},)"
                           R"("zone_pools4":[],"port4":1,"port6":1,"peers":{},"zones":{}})"}) {
    write(folders.state + "/state.json", text);
    EXPECT_FALSE(load_state(folders.state)) << text;
  }
}

TEST_F(TerminalFiles, ConfigurationIsStrict) {
  ASSERT_TRUE(host::make_folder(folders.config, 0755));
  EXPECT_TRUE(read_configuration(folders)) << "a missing file means defaults";
  const std::pair<const char*, const char*> wrong[] = {
      {"intrface = \"x\"", "intrface"},
      {"mtu = 100", "mtu"},
      {"accept_from = [\"a..b\"]", "accept_from"},
      {"pins = [\"x.example 12\"]", "pins"},
      {"log_level = \"loud\"", "log_level"},
      {"[dns]\nhook = \"magic\"", "dns.hook"},
      {"[dns]\nupstream = [\"resolver\"]", "dns.upstream"},
      {"[dns]\ntrust_anchor = \"/nowhere\"", "dns.trust_anchor"},
  };
  for (const auto& [text, key] : wrong) {
    write(folders.config_file(), text);
    Result<Configuration> read = read_configuration(folders);
    ASSERT_FALSE(read) << text;
    EXPECT_NE(read.error().text.find(key), std::string::npos) << read.error().text;
    EXPECT_NE(read.error().text.find("terminal.toml:"), std::string::npos) << read.error().text;
  }
}

TEST_F(TerminalFiles, ExampleFileIsValidAndNamesEveryKey) {
  folders.config = std::string(NTM_SOURCE_DIR) + "/terminal/terminal.toml.example";
  EXPECT_TRUE(read_configuration(folders));
  // Every key that it shows, switched on, is one that the daemon knows.
  std::ifstream in(folders.config);
  std::string line, active;
  while (std::getline(in, line)) {
    bool key = line.rfind("# ", 0) == 0 && line.find(" = ") != std::string::npos &&
               line.find(' ', 2) == line.find(" = ");
    if (key) active += line.substr(2) + "\n";
    else if (line.rfind("[", 0) == 0) active += line + "\n";
  }
  EXPECT_NE(active.find("own_zone_servers"), std::string::npos);
  folders.config = root + "/all.toml";
  write(folders.config, active);
  Result<Configuration> read = read_configuration(folders);
  EXPECT_TRUE(read) << read.error().text;
}

TEST(SystemDns, NameserverLines) {
  std::vector<Endpoint> found = dns::parse_resolv_conf(
      "# nameserver 192.0.2.9\nsearch example.org\nnameserver 192.0.2.1\n"
      "nameserver\t2001:db8::53 # home\nnameserverx 192.0.2.2\nnameserver nonsense\n"
      "nameserver fe80::1%eth0\nnameserver 192.0.2.3");
  std::vector<std::string> text;
  for (const Endpoint& e : found) text.push_back(to_string(e));
  EXPECT_EQ(text, (std::vector<std::string>{"192.0.2.1:53", "[2001:db8::53]:53", "[fe80::1]:53",
                                            "192.0.2.3:53"}));
}

TEST(SystemDns, RedirectLeavesOurOwnPacketsAlone) {
  dns::HookOptions o;
  o.interface = "ntm0";
  o.redirect_port = 5353;
  o.mark = 20052;
  o.upstream = {parse_endpoint("192.0.2.1:53").value()};
  std::string rules = dns::redirect_rules(o);
  std::size_t mark = rules.find("meta mark 20052 return");
  EXPECT_LT(mark, rules.find("udp dport 53 redirect to :5353"));
  EXPECT_LT(mark, rules.find("tcp dport 53 redirect to :5353"));
  EXPECT_EQ(rules.find("daddr"), std::string::npos);
  EXPECT_NE(rules.find("meta mark 20052 meta l4proto { tcp, udp } th dport 53 ct original zone"),
            std::string::npos);
  // A resolver on this machine asks the world itself: only what goes to it is ours.
  o.upstream = {parse_endpoint("127.0.0.1:53").value()};
  rules = dns::redirect_rules(o);
  EXPECT_NE(rules.find("ip daddr 127.0.0.0/8 udp dport 53"), std::string::npos);
  EXPECT_EQ(rules.find("    udp dport 53"), std::string::npos);
}

TEST(SystemDns, ModesReadBack) {
  for (dns::HookMode mode : {dns::HookMode::Auto, dns::HookMode::Resolved,
                             dns::HookMode::Redirect, dns::HookMode::ResolvConf,
                             dns::HookMode::Off})
    EXPECT_EQ(dns::parse_hook_mode(to_string(mode)).value(), mode);
  EXPECT_FALSE(dns::parse_hook_mode("on"));
}

}  // namespace
}  // namespace ntm::terminal
