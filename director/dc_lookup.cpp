// libunbound with forwarders. An alias record (SVCB priority 0) is followed, at most four times.
#include "director/dc_lookup.hpp"

#include <sys/epoll.h>
#include <unbound.h>

#include "libntm/wire/dc_record.hpp"

namespace ntm::director {

namespace {
constexpr int kClassIn = 1;
constexpr int kMaxAliases = 4;
}  // namespace

Result<std::unique_ptr<DcLookup>> DcLookup::open(host::EventLoop& loop,
                                                 const std::vector<std::string>& resolvers,
                                                 Answer answer) {
  std::unique_ptr<DcLookup> out(new DcLookup(loop, std::move(answer)));
  out->context_ = ub_ctx_create();
  if (out->context_ == nullptr) return fail(ErrorKind::Internal, "libunbound can't start");
  ub_ctx_async(out->context_, 1);
  ub_ctx_set_option(out->context_, "do-not-query-localhost:", "no");
  // A DC that answers late is asked again by the protocol; a stale failure must not linger.
  ub_ctx_set_option(out->context_, "infra-host-ttl:", "10");
  for (const std::string& resolver : resolvers)
    if (int error = ub_ctx_set_fwd(out->context_, resolver.c_str()))
      return invalid("resolvers: '" + resolver + "': " + ub_strerror(error) +
                     "; write ADDRESS or ADDRESS@PORT");
  loop.watch(ub_fd(out->context_), EPOLLIN,
             [context = out->context_](std::uint32_t) { ub_process(context); });
  return out;
}

DcLookup::~DcLookup() {
  if (context_ == nullptr) return;
  loop_.unwatch(ub_fd(context_));
  ub_ctx_delete(context_);
}

void DcLookup::resolve(const Name& zone) {
  Result<Name> name = wire::dc_record_name(zone);
  if (!name) {
    answer_(zone, pass(name.error()));
    return;
  }
  ask(std::make_unique<Query>(Query{this, zone, *name}));
}

void DcLookup::ask(std::unique_ptr<Query> query) {
  Query* raw = query.get();
  queries_[raw] = std::move(query);
  int error = ub_resolve_async(context_, raw->asked.text().c_str(), wire::kTypeSvcb, kClassIn, raw,
                               &DcLookup::callback, nullptr);
  if (error != 0) done(*raw, error, nullptr);
}

void DcLookup::callback(void* query, int error, ub_result* result) {
  Query* q = static_cast<Query*>(query);
  q->owner->done(*q, error, result);
  ub_resolve_free(result);
}

void DcLookup::done(Query& query, int error, ub_result* result) {
  std::unique_ptr<Query> held = std::move(queries_[&query]);
  queries_.erase(&query);
  if (error != 0 || result == nullptr) {
    answer_(held->zone, fail(ErrorKind::Unavailable,
                             std::string("DNS can't be asked: ") + ub_strerror(error)));
    return;
  }
  if (result->bogus) {
    answer_(held->zone, fail(ErrorKind::Denied, "its DNS records are forged (DNSSEC)"));
    return;
  }
  if (!result->havedata) {
    bool failed = result->rcode != 0 && result->rcode != 3;
    answer_(held->zone, failed ? fail(ErrorKind::Unavailable, "DNS answers with an error")
                               : fail(ErrorKind::NotFound, "it has no _ntm._udp record"));
    return;
  }
  DcAddress out;
  out.dnssec = result->secure ? wire::DnssecState::Secure : wire::DnssecState::Insecure;
  std::uint16_t best = 0xffff;
  for (int i = 0; result->data[i] != nullptr; ++i) {
    ByteView rdata(reinterpret_cast<const Byte*>(result->data[i]),
                   static_cast<std::size_t>(result->len[i]));
    Result<wire::DcRecord> record = wire::decode_dc_record(rdata);
    if (!record) continue;
    if (record->is_alias()) {
      if (held->aliases >= kMaxAliases) continue;
      std::unique_ptr<Query> next = std::make_unique<Query>(*held);
      next->asked = record->target;
      ++next->aliases;
      ask(std::move(next));
      return;
    }
    if (record->priority >= best) continue;
    best = record->priority;
    out.endpoints = record->endpoints();
    out.key = record->dc_key;
    out.next_key = record->dc_next_key;
  }
  if (out.endpoints.empty()) {
    answer_(held->zone, invalid("its _ntm._udp record is unusable"));
    return;
  }
  answer_(held->zone, out);
}

}  // namespace ntm::director
