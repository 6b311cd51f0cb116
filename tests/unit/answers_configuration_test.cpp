// The generated pdns.conf: what it must contain, and what it must refuse to write.
#include "pdns-backend/configuration.hpp"

#include <gtest/gtest.h>

namespace ntm::pdns_backend {
namespace {

PdnsSettings good() {
  PdnsSettings out;
  out.store_directory = "/var/lib/ntmobile";
  out.module_directory = "/usr/lib/ntmobile";
  out.socket_directory = "/run/ntmobile";
  out.listen = {parse_endpoint("192.0.2.53:53").value(),
                parse_endpoint("[2001:db8::53]:53").value()};
  return out;
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(PdnsConfiguration, TurnsEveryCacheOffAndNamesTheStore) {
  std::string text = pdns_configuration(good()).value();
  for (const char* line :
       {"cache-ttl=0", "query-cache-ttl=0", "negquery-cache-ttl=0", "zone-cache-refresh-interval=0",
        "consistent-backends=yes", "dnsupdate=no", "any-to-tcp=yes", "launch=ntmobile",
        "ntmobile-directory=/var/lib/ntmobile", "module-dir=/usr/lib/ntmobile",
        "socket-dir=/run/ntmobile", "local-address=192.0.2.53:53, [2001:db8::53]:53",
        "disable-axfr=yes", "distributor-threads=2"}) {
    EXPECT_TRUE(has_line(text, line)) << line << "\n" << text;
  }
  EXPECT_EQ(text.find("setuid"), std::string::npos);
}

TEST(PdnsConfiguration, OptionsAppearWhenAsked) {
  PdnsSettings settings = good();
  settings.transfer_to = {parse_prefix("127.0.0.0/8").value(), parse_prefix("::1/128").value()};
  settings.user = "pdns";
  settings.group = "ntmobile";
  settings.threads = 4;
  std::string text = pdns_configuration(settings).value();
  for (const char* line : {"disable-axfr=no", "allow-axfr-ips=127.0.0.0/8, ::1/128", "setuid=pdns",
                           "setgid=ntmobile", "distributor-threads=4"}) {
    EXPECT_TRUE(has_line(text, line)) << line << "\n" << text;
  }
}

TEST(PdnsConfiguration, RefusesWhatWouldMeanSomethingElse) {
  PdnsSettings settings = good();
  settings.listen.clear();
  EXPECT_FALSE(pdns_configuration(settings));
  settings = good();
  settings.store_directory = "/tmp/x\nlaunch=bind";
  EXPECT_FALSE(pdns_configuration(settings));
  settings = good();
  settings.module_directory = "lib";
  EXPECT_FALSE(pdns_configuration(settings));
  settings = good();
  settings.user = "";
  EXPECT_FALSE(pdns_configuration(settings));
  settings = good();
  settings.threads = 0;
  EXPECT_FALSE(pdns_configuration(settings));
  settings = good();
  settings.listen[0].port = 0;
  EXPECT_FALSE(pdns_configuration(settings));
}

}  // namespace
}  // namespace ntm::pdns_backend
