// ntm-storefixture DIRECTORY: reads commands (commands.hpp), one a line, commits each and answers
// "ok" or "error REASON" once it is durable, as the director acknowledges a registration.
// ntm-storefixture --pdns-conf DIRECTORY MODULES SOCKETS ADDRESS:PORT prints the server's
// configuration.
#include <iostream>

#include "libntm/store/sqlite/sqlite_store.hpp"
#include "pdns-backend/configuration.hpp"
#include "tests/pdns/storefixture/commands.hpp"

namespace {

int print_configuration(char** arguments) {
  ntm::pdns_backend::PdnsSettings settings;
  settings.store_directory = arguments[0];
  settings.module_directory = arguments[1];
  settings.socket_directory = arguments[2];
  ntm::Result<ntm::Endpoint> listen = ntm::parse_endpoint(arguments[3]);
  if (!listen) {
    std::cerr << listen.error().text << "\n";
    return 1;
  }
  settings.listen = {*listen};
  settings.transfer_to = {ntm::parse_prefix("127.0.0.0/8").value()};
  ntm::Result<std::string> text = ntm::pdns_backend::pdns_configuration(settings);
  if (!text) {
    std::cerr << text.error().text << "\n";
    return 1;
  }
  std::cout << *text;
  return 0;
}

std::string commit(ntm::store::Store& store, const std::string& line) {
  ntm::Result<ntm::store::Operation> operation = ntm::storefixture::parse_command(line);
  if (!operation) return "error " + operation.error().text;
  ntm::store::Batch batch;
  batch.items.push_back(*operation);
  ntm::store::Completion done = store.submit_and_wait(std::move(batch), ntm::seconds(10));
  const ntm::store::ItemResult& item = done.items.at(0);
  if (item.outcome == ntm::store::Outcome::Applied) return "ok";
  return std::string("error ") + ntm::store::to_string(item.outcome) + ": " + item.reason;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 6 && std::string(arguments[1]) == "--pdns-conf") {
    return print_configuration(arguments + 2);
  }
  if (count != 2) {
    std::cerr << "usage: ntm-storefixture DIRECTORY\n";
    return 2;
  }
  ntm::store::sqlite::OpenOptions options;
  options.directory = arguments[1];
  ntm::Result<std::unique_ptr<ntm::store::sqlite::SqliteStore>> store =
      ntm::store::sqlite::SqliteStore::open(options);
  if (!store) {
    std::cerr << store.error().text << "\n";
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << commit(**store, line) << std::endl;
  }
  return 0;
}
