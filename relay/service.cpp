// Effects are performed in order: a counter is on disk before the datagram that uses it leaves.
#include "relay/service.hpp"

#include <signal.h>

#include <nlohmann/json.hpp>

#include "libntm/base/text.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "libntm/datapath/tun/tun_datapath.hpp"
#include "libntm/host/config.hpp"
#include "libntm/host/files.hpp"
#include "libntm/host/log.hpp"

namespace ntm::relay {

namespace {

std::string folder_of(const std::string& path) {
  std::size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

AttachmentConfig attachment_of(const Enrolment& e) {
  return {e.zone, e.own_name, e.dc_key, e.dc_endpoints, e.token};
}

nlohmann::json leg_json(const LegSnapshot& leg) {
  nlohmann::json out{{"up", leg.outer.has_value() && leg.consent}, {"validated", leg.validated}};
  if (leg.outer) out["address"] = to_string(leg.outer->remote);
  return out;
}

}  // namespace

Result<ServiceConfig> read_config(const std::string& path) {
  Result<host::Config> file = host::Config::load(path);
  if (!file) {
    if (file.error().kind == ErrorKind::NotFound)
      return fail(ErrorKind::NotFound, path + " does not exist; write it with this host's public "
                                              "addresses, as: addresses = [\"192.0.2.1\"]");
    return pass(file.error());
  }
  ServiceConfig out;
  out.port = static_cast<std::uint16_t>(file->integer("port", out.port, 1, 65535));
  out.addresses = file->addresses("addresses");
  out.state = file->text("state", out.state);
  out.socket = file->text("socket", out.socket);
  out.max_entries = static_cast<std::size_t>(
      file->integer("max_entries", static_cast<std::int64_t>(out.max_entries), 1, 10'000'000));
  out.allow_private_sources = file->boolean("allow_private_sources", false);
  out.log_level = file->text("log_level", out.log_level);
  if (Result<void> end = file->finish(); !end) return pass(end.error());
  if (out.addresses.empty())
    return pass(file->wrong("addresses", "name the address(es) where terminals reach this relay"));
  if (out.addresses.size() > 2 ||
      (out.addresses.size() == 2 && out.addresses[0].family() == out.addresses[1].family()))
    return pass(file->wrong("addresses", "at most one address a family"));
  for (const IpAddress& a : out.addresses)
    if (a.is_unspecified() || a.is_loopback() || a.is_multicast())
      return pass(file->wrong("addresses", to_string(a) + " can't be reached by terminals"));
  if (Result<host::LogLevel> level = host::parse_log_level(out.log_level); !level)
    return pass(file->wrong("log_level", level.error().text));
  return out;
}

Result<std::unique_ptr<Service>> Service::open(const ServiceConfig& config,
                                               host::EventLoop& loop) {
  std::unique_ptr<Service> service(new Service(config, loop));
  if (Result<void> ready = service->prepare(); !ready) return pass(ready.error());
  return service;
}

Result<void> Service::prepare() {
  // Before the datapath starts its threads: they inherit the blocked signals.
  loop_.on_signals({SIGTERM, SIGINT}, [this](int) {
    if (engine_) engine_->leave(loop_.now());
    perform();
    loop_.stop();
  });
  Result<RelayState> state = RelayState::open(config_.state, random_);
  if (!state) return pass(state.error());
  state_ = std::make_unique<RelayState>(std::move(*state));
  Result<std::unique_ptr<datapath::Datapath>> path = datapath::make_tun_datapath();
  if (!path) return pass(path.error());
  datapath_ = std::move(*path);

  RelayConfig engine;
  engine.key = crypto::key_pair_from(state_->key());
  engine.reset_secret = state_->reset_secret();
  engine.counter = state_->counter();
  engine.max_entries = config_.max_entries;
  engine.allow_private_sources = config_.allow_private_sources;
  for (const IpAddress& address : config_.addresses) {
    datapath::SocketOptions options;
    options.family = address.family();
    options.port = config_.port;
    Result<datapath::SocketInfo> socket = datapath_->open_socket(options);
    if (!socket) return pass(socket.error());
    engine.endpoints.push_back({address, config_.port});
    engine.sockets.push_back(socket->id);
    engine.families.push_back(address.family());
  }
  for (const Enrolment& e : state_->enrolments()) engine.dcs.push_back(attachment_of(e));
  engine_ = std::make_unique<RelayEngine>(engine, random_);

  if (Result<void> made = host::make_folder(folder_of(config_.socket), 0755); !made) return made;
  Result<std::unique_ptr<host::ControlServer>> control = host::ControlServer::open(
      loop_, config_.socket,
      [this](const nlohmann::json& request, host::ControlServer::Respond respond) {
        answer(request, respond);
      });
  if (!control) return pass(control.error());
  control_ = std::move(*control);
  return {};
}

Service::~Service() = default;

void Service::run() {
  started_ = loop_.now();
  datapath_->set_wakeup([this] {
    loop_.post([this] {
      for (const datapath::Event& event : datapath_->events()) engine_->handle(loop_.now(), event);
    });
  });
  loop_.on_turn_end([this] {
    perform();
    arm();
  });
  std::string where;
  for (const IpAddress& a : config_.addresses)
    where += (where.empty() ? "" : ", ") + to_string(Endpoint{a, config_.port});
  host::log_info("relay listens at {}", where);
  if (state_->enrolments().empty())
    host::log_warning("enrolled with no DC yet; run: ntm relay join TOKEN");
  engine_->start(loop_.now());
  loop_.run();
  host::log_info("relay ends");
}

void Service::perform() {
  if (!engine_) return;
  // Performing may make new effects (none does today), so until there are none.
  for (std::vector<Effect> effects = engine_->take_effects(); !effects.empty();
       effects = engine_->take_effects())
    for (const Effect& effect : effects) perform(effect);
  note_enrolled();
}

void Service::perform(const Effect& effect) {
  if (const datapath::Change* change = std::get_if<datapath::Change>(&effect)) {
    if (Result<void> done = datapath_->apply(*change); !done)
      host::log_warning("the datapath refused a change: {}", done.error().text);
  } else if (const SendControl* send = std::get_if<SendControl>(&effect)) {
    if (Result<void> done = datapath_->send_control(send->outer, send->datagram); !done)
      host::log_debug("{}", done.error().text);
  } else if (const ReserveCounter* reserve = std::get_if<ReserveCounter>(&effect)) {
    if (Result<void> done = state_->reserve_counter(reserve->below); !done) {
      // Going on would reuse counters after the next start: the DC would call us stale, no harm
      // beyond one more round trip, but the operator must know that the disk refuses.
      host::log_error("{}", done.error().text);
    }
  } else if (const Notify* notify = std::get_if<Notify>(&effect)) {
    if (notify->level == Notify::Level::Warning) host::log_warning("{}", notify->text);
    else host::log_info("{}", notify->text);
  }
}

void Service::note_enrolled() {
  for (const RelayEngine::DcStatus& dc : engine_->dc_status()) {
    if (!dc.enrolled) continue;
    if (Result<void> done = state_->enrolled(dc.zone); !done)
      host::log_error("{}", done.error().text);
  }
}

void Service::arm() {
  Instant when = engine_->next_deadline();
  if (when == armed_) return;
  if (timer_ != 0) loop_.cancel(timer_);
  timer_ = 0;
  armed_ = when;
  if (when == Instant::never()) return;
  timer_ = loop_.at(when, [this] {
    timer_ = 0;
    armed_ = Instant::never();
    engine_->on_timer(loop_.now());
  });
}

nlohmann::json Service::status() const {
  nlohmann::json out{{"ok", true},
                     {"datapath", datapath_->kind()},
                     {"entries", engine_->table().size()},
                     {"max_entries", config_.max_entries},
                     {"refused_requests", engine_->table().forged()},
                     {"uptime_seconds", (loop_.now() - started_).us / 1'000'000},
                     {"dcs", nlohmann::json::array()},
                     {"paths", nlohmann::json::array()},
                     {"addresses", nlohmann::json::array()}};
  for (const IpAddress& a : config_.addresses)
    out["addresses"].push_back(to_string(Endpoint{a, config_.port}));
  for (const RelayEngine::DcStatus& dc : engine_->dc_status())
    out["dcs"].push_back({{"zone", dc.zone.text()},
                          {"state", to_string(dc.state)},
                          {"error", dc.error}});
  for (const EntrySnapshot& e : engine_->table().snapshot())
    out["paths"].push_back({{"path", to_string(e.path)},
                            {"zone", e.owner},
                            {"a", leg_json(e.a)},
                            {"b", leg_json(e.b)},
                            {"packets", e.packets},
                            {"bytes", e.bytes}});
  return out;
}

nlohmann::json Service::join(const std::string& text) {
  Result<wire::EnrolmentToken> token = crypto::parse_token(text);
  if (!token) return {{"ok", false}, {"error", token.error().text}};
  Enrolment enrolment{token->zone, token->subject, token->dc_key, token->dc_endpoints, *token};
  if (Result<void> kept = state_->put_enrolment(enrolment); !kept)
    return {{"ok", false}, {"error", kept.error().text}};
  engine_->add_dc(loop_.now(), attachment_of(enrolment));
  return {{"ok", true}, {"zone", token->zone.text()}, {"name", token->subject.text()}};
}

void Service::answer(const nlohmann::json& request,
                     const host::ControlServer::Respond& respond) {
  std::string verb = request.at("verb").get<std::string>();
  if (verb == "status") respond(status());
  else if (verb == "join") respond(join(request.at("token").get<std::string>()));
  else respond({{"ok", false}, {"error", "the relay knows no verb '" + printable(as_view(verb), 40) + "'"}});
}

}  // namespace ntm::relay
