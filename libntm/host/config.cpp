// toml++ behind a strict reader that remembers which keys were asked for.
#include "libntm/host/config.hpp"

// Some of toml++'s assertions fail on bad input for which it has a proper error a line later (as in
// "x = 1979-05-27Tx"): a typing error in a file must not abort a daemon.
#define TOML_ASSERT(expression) static_assert(true)
#include <toml++/toml.h>

#include <functional>
#include <optional>
#include <sstream>

#include "libntm/base/text.hpp"
#include "libntm/host/files.hpp"

namespace ntm::host {

constexpr std::size_t kMaxConfigBytes = 1 << 20;

struct Config::Impl {
  toml::table table;
  std::string path;
  std::set<std::string, std::less<>> asked;
  std::optional<Error> first;

  const toml::node* find(std::string_view key) {
    asked.emplace(key);
    return table.at_path(key).node();
  }
  Error error(std::string_view key, const toml::node* node, const std::string& text) const {
    std::string where = path;
    if (node != nullptr) where += ":" + std::to_string(node->source().begin.line);
    return Error{ErrorKind::Invalid, where + ": " + printable(as_view(key)) + ": " + text};
  }
  void note(std::string_view key, const toml::node* node, const std::string& text) {
    if (!first) first = error(key, node, text);
  }
};

Config::Config(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Config::Config(Config&&) noexcept = default;
Config& Config::operator=(Config&&) noexcept = default;
Config::~Config() = default;

Result<Config> Config::parse(std::string_view text, const std::string& shown_path) {
  std::unique_ptr<Impl> impl = std::make_unique<Impl>();
  impl->path = shown_path;
  try {
    impl->table = toml::parse(text, shown_path);
  } catch (const toml::parse_error& error) {
    return invalid(shown_path + ":" + std::to_string(error.source().begin.line) + ": " +
                   printable(as_view(error.description()), 200));  // quotes the file's bytes
  }
  return Config(std::move(impl));
}

Result<Config> Config::load(const std::string& path) {
  Result<Bytes> content = read_file(path, kMaxConfigBytes);
  if (!content) return pass(content.error());
  return parse(std::string_view(reinterpret_cast<const char*>(content->data()), content->size()),
               path);
}

std::string Config::text(std::string_view key, std::string_view fallback) {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return std::string(fallback);
  std::optional<std::string> value = node->value_exact<std::string>();
  if (!value) impl_->note(key, node, "must be a text in quotes");
  return value.value_or(std::string(fallback));
}

std::int64_t Config::integer(std::string_view key, std::int64_t fallback, std::int64_t low,
                             std::int64_t high) {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return fallback;
  std::optional<std::int64_t> value = node->value_exact<std::int64_t>();
  if (!value || *value < low || *value > high) {
    impl_->note(key, node, "must be a whole number from " + std::to_string(low) + " to " +
                               std::to_string(high));
    return fallback;
  }
  return *value;
}

bool Config::boolean(std::string_view key, bool fallback) {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return fallback;
  std::optional<bool> value = node->value_exact<bool>();
  if (!value) impl_->note(key, node, "must be true or false");
  return value.value_or(fallback);
}

std::vector<std::string> Config::texts(std::string_view key, std::vector<std::string> fallback) {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return fallback;
  std::vector<std::string> out;
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    impl_->note(key, node, "must be a list of texts in square brackets");
    return fallback;
  }
  for (const toml::node& item : *array) {
    std::optional<std::string> value = item.value_exact<std::string>();
    if (!value) {
      impl_->note(key, &item, "every item must be a text in quotes");
      return fallback;
    }
    out.push_back(*value);
  }
  return out;
}

namespace {
template <typename T, typename Parse>
std::vector<T> parse_all(const std::vector<std::string>& texts, Parse parse, std::string& wrong) {
  std::vector<T> out;
  for (const std::string& text : texts) {
    Result<T> value = parse(text);
    if (!value) {
      if (wrong.empty()) wrong = value.error().text;
      continue;
    }
    out.push_back(*value);
  }
  return out;
}
}  // namespace

std::vector<Endpoint> Config::endpoints(std::string_view key) {
  std::string wrong;
  std::vector<Endpoint> out = parse_all<Endpoint>(texts(key), parse_endpoint, wrong);
  if (!wrong.empty()) impl_->note(key, impl_->find(key), wrong);
  return out;
}

std::vector<IpAddress> Config::addresses(std::string_view key) {
  std::string wrong;
  std::vector<IpAddress> out = parse_all<IpAddress>(texts(key), parse_address, wrong);
  if (!wrong.empty()) impl_->note(key, impl_->find(key), wrong);
  return out;
}

std::vector<Prefix> Config::prefixes(std::string_view key) {
  std::string wrong;
  std::vector<Prefix> out = parse_all<Prefix>(texts(key), parse_prefix, wrong);
  if (!wrong.empty()) impl_->note(key, impl_->find(key), wrong);
  return out;
}

bool Config::has(std::string_view key) const { return bool(impl_->table.at_path(key)); }

Error Config::wrong(std::string_view key, const std::string& text) const {
  return impl_->error(key, impl_->table.at_path(key).node(), text);
}

Result<void> Config::finish() {
  if (impl_->first) return pass(*impl_->first);
  std::function<std::optional<Error>(const toml::table&, const std::string&)> walk =
      [&](const toml::table& table, const std::string& prefix) -> std::optional<Error> {
    for (const auto& [key, node] : table) {
      std::string full = prefix.empty() ? std::string(key.str()) : prefix + "." + std::string(key.str());
      if (const toml::table* inner = node.as_table()) {
        if (std::optional<Error> error = walk(*inner, full)) return error;
      } else if (impl_->asked.count(full) == 0 || key.str().find('.') != key.str().npos) {
        // A quoted "a.b" is one key, not b of table a, and find() never sees it.
        return impl_->error(full, &node, "is not a known key; see --help for the example file");
      }
    }
    return std::nullopt;
  };
  if (std::optional<Error> error = walk(impl_->table, "")) return pass(*error);
  return {};
}

}  // namespace ntm::host
