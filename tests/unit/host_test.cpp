// The parts of libntm/host that can fail on bad input or by order of events: configuration files,
// secret files, the loop, the control socket, UDP, children. Real descriptors on loopback and in a
// temporary folder; no sleeps, the loop ends when what is waited for has happened.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "libntm/host/child_process.hpp"
#include "libntm/host/clock.hpp"
#include "libntm/host/config.hpp"
#include "libntm/host/control_socket.hpp"
#include "libntm/host/event_loop.hpp"
#include "libntm/host/files.hpp"
#include "libntm/host/udp_socket.hpp"

namespace ntm::host {
namespace {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/ntm-host-test-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TemporaryFolder() {
    [[maybe_unused]] int rc = ::system(("rm -rf " + path_).c_str());
  }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

TEST(Config, ReadsTypedValues) {
  Result<Config> config = Config::parse(
      "port = 4753\n[dns]\nresolver = \"127.0.0.1\"\nlisten = [\"192.0.2.1:53\", \"[2001:db8::1]:53\"]\n",
      "x.toml");
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ(config->integer("port", 1, 1, 65535), 4753);
  EXPECT_EQ(config->text("dns.resolver", ""), "127.0.0.1");
  EXPECT_EQ(config->endpoints("dns.listen").size(), 2u);
  EXPECT_TRUE(config->boolean("missing", true));
  EXPECT_TRUE(config->finish().has_value());
}

TEST(Config, BadDatesAreErrorsAndNotTheEndOfTheProgram) {
  for (const char* text : {"x = 1979-05-27Tx", "x = 1979-05-27 :", "x = 1979-05-27T"}) {
    Result<Config> config = Config::parse(text, "x.toml");
    ASSERT_FALSE(config) << text;
    EXPECT_TRUE(config.error().text.starts_with("x.toml:1: ")) << config.error().text;
  }
}

TEST(Config, LettersOutsideAsciiAreErrorsWhereNoneMayStand) {
  for (const char* letter : {"\xef\xbb\xbe", "\xc3\xa9", "\xe2\x80\xa0", "\xe5\x90\x8d"}) {
    std::string l = letter;
    EXPECT_TRUE(Config::parse("# " + l + "\nx = \"" + l + "\"  # " + l, "x.toml")) << l;
    for (const std::string& text : {"x =" + l + " 1", l + " = 1", "x = 1" + l, "x = 1 " + l}) {
      Result<Config> config = Config::parse(text, "x.toml");
      ASSERT_FALSE(config) << text;
      EXPECT_TRUE(config.error().text.starts_with("x.toml:1: ")) << config.error().text;
    }
  }
}

TEST(Config, ErrorsStayOnOneLine) {
  Result<Config> syntax = Config::parse("port = t\n0\n", "x.toml");
  ASSERT_FALSE(syntax);
  EXPECT_EQ(syntax.error().text.find('\n'), std::string::npos) << syntax.error().text;
  Result<Config> key = Config::parse("\"a\\nb\" = 1\n", "x.toml");
  ASSERT_TRUE(key);
  Result<void> finish = key->finish();
  ASSERT_FALSE(finish);
  EXPECT_EQ(finish.error().text.find('\n'), std::string::npos) << finish.error().text;
}

TEST(Config, AQuotedDottedKeyIsNotTheKeyOfThatPath) {
  Result<Config> config = Config::parse("\"dns.enabled\" = false\n", "x.toml");
  ASSERT_TRUE(config);
  EXPECT_TRUE(config->boolean("dns.enabled", true));
  EXPECT_FALSE(config->finish()) << "or a mistake in the file would mean the default";
}

TEST(Config, UnknownKeyNamesFileLineAndKey) {
  Result<Config> config = Config::parse("port = 1\n\nprot = 2\n", "x.toml");
  ASSERT_TRUE(config.has_value());
  config->integer("port", 1, 1, 65535);
  Result<void> end = config->finish();
  ASSERT_FALSE(end.has_value());
  EXPECT_EQ(end.error().text.rfind("x.toml:3: prot", 0), 0u) << end.error().text;
}

TEST(Config, WrongTypeAndRangeAndSyntax) {
  Result<Config> config = Config::parse("port = \"a\"\n", "x.toml");
  ASSERT_TRUE(config.has_value());
  config->integer("port", 1, 1, 65535);
  EXPECT_FALSE(config->finish().has_value());
  Result<Config> range = Config::parse("port = 70000\n", "x.toml");
  EXPECT_EQ(range->integer("port", 5, 1, 65535), 5);
  EXPECT_FALSE(range->finish().has_value());
  Result<Config> syntax = Config::parse("port = \n", "x.toml");
  ASSERT_FALSE(syntax.has_value());
  EXPECT_EQ(syntax.error().text.rfind("x.toml:1: ", 0), 0u) << syntax.error().text;
  Result<Config> address = Config::parse("a = [\"300.1.1.1\"]\n", "x.toml");
  address->addresses("a");
  EXPECT_FALSE(address->finish().has_value());
}

TEST(Files, ReplaceIsWholeAndModed) {
  TemporaryFolder folder;
  std::string path = folder.file("state");
  ASSERT_TRUE(replace_file(path, as_view("one"), 0600).has_value());
  ASSERT_TRUE(replace_file(path, as_view("two"), 0600).has_value());
  Result<Bytes> back = read_file(path, 100);
  ASSERT_TRUE(back.has_value());
  EXPECT_TRUE(equal(*back, as_view("two")));
  struct stat info {};
  ::stat(path.c_str(), &info);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_FALSE(read_file(path, 2).has_value());
  EXPECT_EQ(read_file(folder.file("none"), 2).error().kind, ErrorKind::NotFound);
}

TEST(Files, SecretFileRules) {
  TemporaryFolder folder;
  std::string path = folder.file("key");
  EXPECT_EQ(read_secret_file(path, 4, "the key").error().kind, ErrorKind::NotFound);
  ASSERT_TRUE(replace_file(path, as_view("abcd"), 0600).has_value());
  EXPECT_TRUE(read_secret_file(path, 4, "the key").has_value());
  EXPECT_EQ(read_secret_file(path, 5, "the key").error().kind, ErrorKind::Invalid);
  EXPECT_EQ(read_secret_file(path, 2, "the key").error().kind, ErrorKind::Invalid);
  ::chmod(path.c_str(), 0644);
  Result<Bytes> open = read_secret_file(path, 4, "the key");
  ASSERT_FALSE(open.has_value());
  EXPECT_NE(open.error().text.find("chmod 600"), std::string::npos);
}

TEST(EventLoop, TimersFireInOrderAndCanBeCancelled) {
  EventLoop loop;
  std::vector<int> order;
  loop.after(milliseconds(2), [&] { order.push_back(2); });
  loop.after(milliseconds(1), [&] { order.push_back(1); });
  EventLoop::TimerId never = loop.after(milliseconds(1), [&] { order.push_back(9); });
  loop.cancel(never);
  loop.after(milliseconds(3), [&] { loop.stop(); });
  loop.run();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(EventLoop, PostFromAnotherThread) {
  EventLoop loop;
  bool ran = false;
  std::thread other([&] {
    loop.post([&] {
      ran = true;
      loop.stop();
    });
  });
  loop.run();
  other.join();
  EXPECT_TRUE(ran);
}

TEST(UdpSocket, TellsArrivalAddressAndAnswersFromIt) {
  for (Family family : {Family::V4, Family::V6}) {
    IpAddress loopback = *parse_address(family == Family::V4 ? "127.0.0.1" : "::1");
    Result<UdpSocket> server = UdpSocket::open(family, {}, 0);
    Result<UdpSocket> client = UdpSocket::open(family, loopback, 0);
    ASSERT_TRUE(server.has_value() && client.has_value());
    ASSERT_TRUE(client->send({loopback, server->port()}, {}, as_view("hello")).has_value());
    std::size_t seen = 0;
    EventLoop loop;
    loop.watch(server->fd(), 1 /* EPOLLIN */, [&](std::uint32_t) {
      seen += server->receive(10, [&](const UdpDatagram& d) {
        EXPECT_EQ(d.from.port, client->port());
        EXPECT_EQ(d.local, loopback);
        EXPECT_TRUE(equal(d.bytes, as_view("hello")));
        EXPECT_TRUE(server->send(d.from, d.local, as_view("back")).has_value());
      });
      loop.stop();
    });
    loop.run();
    EXPECT_EQ(seen, 1u);
  }
}

TEST(UdpSocket, PortInUseSaysWhatToDo) {
  IpAddress loopback = *parse_address("127.0.0.1");
  Result<UdpSocket> first = UdpSocket::open(Family::V4, loopback, 0);
  ASSERT_TRUE(first.has_value());
  Result<UdpSocket> second = UdpSocket::open(Family::V4, loopback, first->port());
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, ErrorKind::Conflict);
  EXPECT_NE(second.error().text.find("ss -ulpn"), std::string::npos);
}

TEST(ControlSocket, CallsAndRefusals) {
  TemporaryFolder folder;
  std::string path = folder.file("sock");
  EXPECT_EQ(control_call(path, {{"verb", "x"}}, seconds(1)).error().kind, ErrorKind::Unavailable);
  EventLoop loop;
  Result<std::unique_ptr<ControlServer>> server = ControlServer::open(
      loop, path, [&](const nlohmann::json& request, ControlServer::Respond respond) {
        if (request["verb"] == "add")
          respond({{"ok", true}, {"sum", request["a"].get<int>() + request["b"].get<int>()}});
        else
          respond({{"ok", false}, {"error", "no such verb"}});
      });
  ASSERT_TRUE(server.has_value()) << server.error().text;
  EXPECT_FALSE(ControlServer::open(loop, path, nullptr).has_value());
  std::thread client([&] {
    Result<nlohmann::json> sum = control_call(path, {{"verb", "add"}, {"a", 2}, {"b", 3}}, seconds(5));
    EXPECT_TRUE(sum.has_value() && (*sum)["sum"] == 5);
    Result<nlohmann::json> bad = control_call(path, {{"verb", "add"}, {"a", "x"}}, seconds(5));
    EXPECT_FALSE(bad.has_value());
    Result<nlohmann::json> bytes = control_call(path, {{"verb", "\xff"}}, seconds(5));
    EXPECT_TRUE(!bytes && bytes.error().kind == ErrorKind::Invalid);
    Result<nlohmann::json> unknown = control_call(path, {{"verb", "y"}}, seconds(5));
    EXPECT_EQ(unknown.error().text, "no such verb");
    loop.stop();
  });
  loop.run();
  client.join();
}

TEST(ChildProcess, LinesAndExit) {
  EventLoop loop;
  std::vector<std::string> lines;
  std::string how;
  Result<std::unique_ptr<ChildProcess>> child = ChildProcess::start(
      loop, {"/bin/sh", "-c", "echo one; echo two >&2; exit 3"},
      {[&](const std::string& line) { lines.push_back(line); },
       [&](const std::string& text) {
         how = text;
         loop.stop();
       }});
  ASSERT_TRUE(child.has_value());
  loop.run();
  EXPECT_EQ(how, "exit status 3");
  EXPECT_EQ(lines.size(), 2u);
}

TEST(ChildProcess, EndsWithItsOwner) {
  EventLoop loop;
  int pid = 0;
  {
    Result<std::unique_ptr<ChildProcess>> child =
        ChildProcess::start(loop, {"/bin/sleep", "1000"}, {});
    ASSERT_TRUE(child.has_value());
    pid = (*child)->pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_NE(::kill(pid, 0), 0);
}

}  // namespace
}  // namespace ntm::host
