// A daemon's TOML file, read strictly: a key that nobody asked for is an error with its line, so a
// typo never means "default". Read all keys, then call finish().
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/result.hpp"

namespace ntm::host {

class Config {
 public:
  static Result<Config> load(const std::string& path);
  static Result<Config> parse(std::string_view text, const std::string& shown_path);
  Config(Config&&) noexcept;
  Config& operator=(Config&&) noexcept;
  ~Config();

  // Keys are dotted paths ("dns.resolver"). The first wrong value is kept as error for finish().
  std::string text(std::string_view key, std::string_view fallback);
  std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t low,
                       std::int64_t high);
  bool boolean(std::string_view key, bool fallback);
  std::vector<std::string> texts(std::string_view key, std::vector<std::string> fallback = {});
  std::vector<Endpoint> endpoints(std::string_view key);
  std::vector<IpAddress> addresses(std::string_view key);
  std::vector<Prefix> prefixes(std::string_view key);
  bool has(std::string_view key) const;
  // For checks of the caller's own: "FILE:LINE: KEY: text".
  Error wrong(std::string_view key, const std::string& text) const;

  // The first error: syntax was checked at load; here wrong types, ranges and unknown keys.
  Result<void> finish();

 private:
  struct Impl;
  explicit Config(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ntm::host
