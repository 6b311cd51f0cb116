// The verbs of `ntm dc` at the control socket: zones, terminals, relays, tokens, peer DCs, status.
// Each verb checks everything before it writes; the answer comes after the commit.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "libntm/host/control_socket.hpp"
#include "libntm/store/store.hpp"

namespace ntm::director {

class Service;

class Administration {
 public:
  explicit Administration(Service& service);
  void handle(const nlohmann::json& request, host::ControlServer::Respond respond);

 private:
  using Respond = host::ControlServer::Respond;
  using Verb = void (Administration::*)(const nlohmann::json&, Respond);

  void status(const nlohmann::json& request, Respond respond);
  void zone_list(const nlohmann::json& request, Respond respond);
  void zone_show(const nlohmann::json& request, Respond respond);
  void zone_add(const nlohmann::json& request, Respond respond);
  void zone_set(const nlohmann::json& request, Respond respond);
  void terminal_add(const nlohmann::json& request, Respond respond);
  void terminal_token(const nlohmann::json& request, Respond respond);
  void terminal_list(const nlohmann::json& request, Respond respond);
  void terminal_show(const nlohmann::json& request, Respond respond);
  void terminal_remove(const nlohmann::json& request, Respond respond);
  void relay_add(const nlohmann::json& request, Respond respond);
  void relay_list(const nlohmann::json& request, Respond respond);
  void relay_remove(const nlohmann::json& request, Respond respond);
  void peer_list(const nlohmann::json& request, Respond respond);
  void peer_add(const nlohmann::json& request, Respond respond);
  void peer_remove(const nlohmann::json& request, Respond respond);

  // The name in full: a bare label is completed with the only zone.
  Result<Name> full_name(const nlohmann::json& request, const char* key) const;
  const store::Zone* zone_for(const Name& name) const;
  // Leases one id of the named counter, then goes on with it.
  void with_id(const std::string& counter, Respond respond,
               std::function<void(std::uint64_t)> next);
  void put_token(store::TokenPurpose purpose, const Name& subject, const store::Zone& zone,
                 std::int64_t hours, nlohmann::json answer, Respond respond);

  Service& service_;
  std::map<std::string, Verb, std::less<>> verbs_;
};

}  // namespace ntm::director
