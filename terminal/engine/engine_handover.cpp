// Handover (paper 4.5, docs/PROTOCOL.md 4): at the moment a new address is usable, in one turn
//   a. every tunnel's path is announced from it to peer or relay (Tunnel Request with `handover`),
//   b. the terminal registers over it,
//   c. a Direction Request goes out for every active tunnel, right behind b.
// The old path carries data until a new one is confirmed; with no usable address packets are held.
#include <algorithm>

#include "terminal/engine/engine.hpp"

namespace ntm::terminal {

void Engine::handle(Instant now, const AddressesChanged& event) {
  begin(now);
  std::vector<Prefix> real_before = context_.locals.real_prefixes();
  Locals::Difference difference = context_.locals.replace(event);
  if (context_.locals.real_prefixes() != real_before) {
    directory_.judge_again();
    configure_interface();
  }
  bool moved = difference.best4 || difference.best6;
  if (!difference.any && !moved) return end();
  for (Family family : {Family::V6, Family::V4}) {
    if (!difference.best(family)) continue;
    const LocalAddress* best = context_.locals.best(family);
    Context::Fields fields = {{"family", to_string(family)}};
    if (best != nullptr) fields.emplace_back("address", to_string(best->address));
    if (best != nullptr) fields.emplace_back("interface", best->interface_name);
    context_.note(best != nullptr ? "address_usable" : "address_gone", fields);
  }

  struct Mover {
    Name peer;
    PathId path;
  };
  std::vector<Mover> movers;
  for (const auto& [name, tunnel] : tunnels_) {
    if (!moved || !context_.locals.any()) break;
    Path* path = tunnel->selected();
    if (path == nullptr || !path->outer()) continue;
    // A path whose own address stays is left alone, unless it is relayed: the new address may
    // allow a direct one.
    bool concerned = difference.best(path->outer()->remote.family()) ||
                     !context_.locals.has(path->outer()->local);
    if (!concerned && !path->relayed()) continue;
    if (concerned) tunnel->handover_started();
    movers.push_back({name, path->id()});
  }
  if (context_.locals.any() && moved)
    for (const auto& [name, tunnel] : tunnels_) tunnel->on_addresses();  // a
  registration_.on_addresses(difference);                               // b
  std::optional<Family> over;
  for (Family family : {Family::V4, Family::V6})
    if (difference.best(family) && link_.reaches(family)) over = family;
  // Requests from before the move say where we were: the same again with the new locators.
  if (moved && context_.locals.any()) directions_.resend_all(registration_.rtt());
  for (const Mover& m : movers)                                          // c
    start_direction(m.peer, wire::DirectionReason::Handover, m.path, over);
  end();
}

}  // namespace ntm::terminal
