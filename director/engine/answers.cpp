// What CN, its DC and the relay say to a direction (paper 4.3): acknowledged, moved, refused.
#include <algorithm>

#include "director/engine/director_engine.hpp"

namespace ntm::director {

void DirectorEngine::route_ack(Instant now, SessionEntry& session, const wire::RouteAck& ack) {
  bool from_terminal = session.kind == PeerKind::Terminal;
  Target sender = from_terminal ? Target{Towards::Terminal, session.name}
                                : Target{Towards::Dc, session.name, session.zone};
  // Nobody can acknowledge what was sent to somebody else: outgoing requests are kept by target.
  stop_sending(now, sender, ack.request);
  std::map<std::uint64_t, Forwarded>::iterator forwarded = forwarded_.find(ack.request.value);
  if (forwarded != forwarded_.end()) {
    if (from_terminal && session.name == forwarded->second.cn)
      forwarded_acked(now, forwarded->second, ack);
    return;
  }
  std::map<std::uint64_t, Direction>::iterator it = directions_.find(ack.request.value);
  if (it == directions_.end()) return;
  if (sender == target_of_cn(it->second)) direction_acked(now, it->second, ack);
}

void DirectorEngine::forwarded_acked(Instant now, Forwarded& forwarded,
                                     const wire::RouteAck& ack) {
  (void)now;
  wire::RouteAck back = ack;
  back.request = forwarded.foreign_request;
  forwarded.answer = back;
  std::map<LinkKey, DcLink>::iterator link = links_.find(forwarded.link);
  if (link != links_.end()) send_message(link->second.incoming, wire::ControlMessage(back));
}

void DirectorEngine::direction_acked(Instant now, Direction& d, const wire::RouteAck& ack) {
  if (d.ended || ack.status == wire::Status::Ok) return;
  if (ack.status == wire::Status::PathIdInUse) {
    if (d.relay) delete_at_relay(now, *d.relay, {d.path});
    replan(now, d);
    return;
  }
  if (ack.status != wire::Status::Moved) {
    end_direction(now, d, ack.status);
    return;
  }
  // CN is elsewhere than the plan supposes: plan again with what its DC has observed.
  Reach fresh;
  fresh.relay_only = d.cn_reach.relay_only;
  for (const wire::Locator& l : ack.locators) {
    bool v4 = l.endpoint.family() == Family::V4;
    const std::optional<Endpoint>& seen = v4 ? ack.observed4 : ack.observed6;
    Endpoint outside = seen ? *seen : l.endpoint;
    std::optional<FamilyReach>& place = v4 ? fresh.v4 : fresh.v6;
    if (!place) place = FamilyReach{l.endpoint, outside, outside != l.endpoint};
  }
  if (!d.cn_unknown && d.relay) delete_at_relay(now, *d.relay, {d.path});
  d.cn_unknown = false;
  d.cn_reach = fresh;
  replan(now, d);
}

void DirectorEngine::relay_response(Instant now, SessionEntry& session,
                                    const wire::RelayResponse& response) {
  stop_sending(now, {Towards::Relay, session.name}, response.request);
  std::map<std::uint64_t, Direction>::iterator it = directions_.find(response.request.value);
  if (it == directions_.end() || it->second.ended || response.status == wire::Status::Ok) return;
  Direction& d = it->second;
  if (d.relay != session.name) return;
  // Refused: another relay, or (Path ID in use) the same one with another Path ID.
  if (response.status != wire::Status::PathIdInUse || d.attempt > 0)
    d.refused_relays.insert(session.name);
  replan(now, d);
}

}  // namespace ntm::director
