// See the header.
#include "terminal/dns/ntm_asker.hpp"

#include <sys/epoll.h>
#include <unbound.h>

#include <algorithm>

#include "libntm/wire/dc_record.hpp"

namespace ntm::terminal::dns {

namespace {

// Questions that run at once; each has two types.
constexpr std::size_t kMaxRunning = 2048;

// Reads one type's result into the answer. True when the server said something definite.
bool merge(const ub_result* result, Family family, NtmAnswer& answer) {
  if (result == nullptr || result->answer_packet == nullptr) return false;
  if (result->bogus != 0) {
    answer.records.bogus = true;
    return true;
  }
  if (result->secure == 0) answer.records.dnssec = wire::DnssecState::Insecure;
  ByteView packet(static_cast<const Byte*>(result->answer_packet),
                  static_cast<std::size_t>(result->answer_len));
  Result<Message> message = read_message(packet);
  if (!message) return false;
  NtmFacts facts = ntm_facts(*message, family);
  if (!facts.answered()) return false;
  if (facts.record) {
    answer.state = NtmState::Found;
    answer.records.name = facts.last;
    answer.chain = facts.chain;
    (family == Family::V4 ? answer.records.v4 : answer.records.v6) = facts.record;
    (family == Family::V4 ? answer.records.rdata4 : answer.records.rdata6) = facts.rdata;
  }
  Duration remember = seconds(facts.negative_ttl);
  if (answer.remember.us == 0 || remember < answer.remember) answer.remember = remember;
  return true;
}

}  // namespace

struct NtmAsker::Question {
  NtmAsker* asker = nullptr;
  std::function<void(const ub_result*)> done;
};

NtmAsker::NtmAsker(host::EventLoop& loop, ub_ctx* context) : loop_(loop), context_(context) {}

NtmAsker::~NtmAsker() {
  loop_.unwatch(ub_fd(context_));
  ub_ctx_delete(context_);
}

Result<std::unique_ptr<NtmAsker>> NtmAsker::start(host::EventLoop& loop, std::uint16_t door_port,
                                                  const std::string& trust_anchor) {
  ub_ctx* context = ub_ctx_create();
  if (context == nullptr) return fail(ErrorKind::Internal, "libunbound can't start");
  std::unique_ptr<NtmAsker> asker(new NtmAsker(loop, context));
  const std::pair<const char*, const char*> options[] = {
      {"do-not-query-localhost:", "no"},
      {"qname-minimisation:", "no"},
      {"edns-buffer-size:", "1232"},
      {"msg-cache-size:", "2m"},
      {"rrset-cache-size:", "2m"},
      {"infra-cache-max-rtt:", "2000"},
      {"outbound-msg-retry:", "2"},
      {"module-config:", trust_anchor.empty() ? "iterator" : "validator iterator"},
  };
  for (const auto& [key, value] : options)
    if (int error = ub_ctx_set_option(context, key, value); error != 0)
      return fail(ErrorKind::Internal, std::string("libunbound refuses ") + key + " " + value +
                                           ": " + ub_strerror(error));
  std::string door = "127.0.0.1@" + std::to_string(door_port);
  if (int error = ub_ctx_set_fwd(context, door.c_str()); error != 0)
    return fail(ErrorKind::Internal, std::string("libunbound: ") + ub_strerror(error));
  if (!trust_anchor.empty() && ub_ctx_add_ta_file(context, trust_anchor.c_str()) != 0)
    return invalid(trust_anchor + " can't be read as trust anchors (dns.trust_anchor)");
  if (ub_ctx_async(context, 1) != 0)
    return fail(ErrorKind::Internal, "libunbound can't start its thread");
  loop.watch(ub_fd(context), EPOLLIN, [context](std::uint32_t) { ub_process(context); });
  return asker;
}

void NtmAsker::on_result(void* data, int error, ub_result* result) {
  Question* answered = static_cast<Question*>(data);
  std::unique_ptr<Question> question =
      std::move(answered->asker->running_.extract(answered).mapped());
  question->done(error == 0 ? result : nullptr);
  ub_resolve_free(result);
}

void NtmAsker::resolve(const Name& name, std::uint16_t type,
                       std::function<void(const ub_result*)> done) {
  if (running_.size() >= kMaxRunning) return done(nullptr);
  std::unique_ptr<Question> question(new Question{this, std::move(done)});
  Question* raw = question.get();
  running_.emplace(raw, std::move(question));
  int error = ub_resolve_async(context_, name.text().c_str(), type, kClassIn, raw, &on_result,
                               nullptr);
  if (error != 0) on_result(raw, error, nullptr);
}

void NtmAsker::ask(const Name& name, std::function<void(const NtmAnswer&)> done) {
  struct Both {
    NtmAnswer answer;
    int left = 2;
    int definite = 0;
  };
  std::shared_ptr<Both> both = std::make_shared<Both>();
  both->answer.name = both->answer.records.name = name;
  both->answer.records.dnssec = wire::DnssecState::Secure;  // until a part is not
  for (Family family : {Family::V4, Family::V6})
    resolve(name, wire::type_of(family), [both, family, done](const ub_result* result) {
      both->definite += merge(result, family, both->answer) ? 1 : 0;
      if (--both->left > 0) return;
      NtmAnswer& a = both->answer;
      if (a.records.bogus) a.state = NtmState::Found;  // the engine refuses it, with the reason
      else if (a.state != NtmState::Found)
        a.state = both->definite == 2 ? NtmState::None : NtmState::Failed;
      done(a);
    });
}

void NtmAsker::ask_zone(const Name& zone, std::function<void(const ZoneRecord&)> done) {
  Result<Name> owner = wire::dc_record_name(zone);
  if (!owner) return done({zone, std::nullopt});
  resolve(*owner, wire::kTypeSvcb, [zone, done](const ub_result* result) {
    ZoneRecord out{zone, std::nullopt};
    for (int i = 0; result != nullptr && result->bogus == 0 && result->havedata != 0 &&
                    result->data[i] != nullptr; ++i) {
      ByteView rdata(reinterpret_cast<const Byte*>(result->data[i]),
                     static_cast<std::size_t>(result->len[i]));
      Result<wire::DcRecord> record = wire::decode_dc_record(rdata);
      if (record && record->zone_virtual6) out.virtual6 = record->zone_virtual6;
    }
    done(out);
  });
}

}  // namespace ntm::terminal::dns
